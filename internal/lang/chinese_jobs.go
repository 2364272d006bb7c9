package lang

var jobsTexts = map[string]string{
	"this database user may not create or alter the daemon's tables; migrate as jdpay_migrate, which deploy/grants.sql makes: " +
		"ConnectionStrings__Account='Server=…;Database=…;Uid=jdpay_migrate;Pwd=…' jdpay-listener migrate (%s)": "该数据库用户无权创建或修改守护进程的表；请使用 deploy/grants.sql 创建的用户 jdpay_migrate 执行：" +
		"ConnectionStrings__Account='Server=…;Database=…;Uid=jdpay_migrate;Pwd=…' jdpay-listener migrate（%s）",
	"the MQTT broker": "MQTT 服务器", "JD's API": "京东接口", "the main database": "主数据库",
	"Unavailable since %s: %s.":      "自 %s 起不可用：%s。",
	"Unavailable from %s to %s: %s.": "%s 至 %s 期间不可用：%s。",

	"no jobs":                         "没有任务",
	"ID":                              "编号",
	"KIND":                            "类型",
	"STATE":                           "状态",
	"OUTCOME":                         "结果",
	"TRIES":                           "次数",
	"ORDER":                           "订单",
	"WHEN":                            "时间",
	"ERROR":                           "错误",
	"due %s":                          "待执行 %s",
	"now":                             "执行中",
	"only the newest %d: see --limit": "只列出最新的 %d 条，更多请用 --limit",

	"id":          "编号",
	"kind":        "类型",
	"unique key":  "唯一键",
	"state":       "状态",
	"outcome":     "结果",
	"priority":    "优先级",
	"tries":       "次数",
	"created":     "创建时间",
	"next try":    "下次执行",
	"gives up":    "放弃时间",
	"finished":    "结束时间",
	"enqueued":    "入队时间",
	"trace":       "链路追踪",
	"lease":       "租约",
	"lease until": "租约到期",
	"last error":  "最近错误",
	"try %d":      "第 %d 次",
	"there is no job %d: finished ones are deleted after Jobs:KeepDone": "没有任务 %d：已结束的任务超过 Jobs:KeepDone 后会被清理",

	"nothing is known of order %q: find looks for similar numbers": "没有订单 %q 的任何记录：可用 find 查找相近的编号",
	"the order cannot be read: %s":                                 "无法读取订单：%s",
	"no order is found by %q":                                      "没有找到与 %q 匹配的订单",

	"%d jobs are due now":           "%d 个任务将立即执行",
	"%d jobs are discarded":         "已放弃 %d 个任务",
	"%d of %d jobs are changed: %s": "已更改 %d 个任务（共 %d 个）：%s",
	"%d jobs are changed; %d are not, because another transaction has at least one of them locked: repeat it (%s)": "已更改 %d 个任务；另有 %d 个未更改，因为其中至少一个被其他事务锁定：请重新执行（%s）",
	"these jobs do not exist, run at this moment, or are done: %s (see jobs show)":                                 "以下任务不存在、正在执行或已完成：%s（请看 jobs show）",
	"these jobs do not exist, run at this moment, or are done: %s (see jobs show, and retry --replay)":             "以下任务不存在、正在执行或已完成：%s（请看 jobs show；已完成的可用 retry --replay）",
	"the account database cannot be used (ConnectionStrings:Account; see jdpay-listener doctor): %s":               "账务数据库不可用（ConnectionStrings:Account；请运行 jdpay-listener doctor）：%s",
	"the main database cannot be used (ConnectionStrings:Main; see jdpay-listener doctor): %s":                     "主数据库不可用（ConnectionStrings:Main；请运行 jdpay-listener doctor）：%s",

	"the connection that holds the migration's lock was lost (%s), so that another migration may begin: repeat migrate, which continues": "持有迁移锁的连接已断开（%s），其他迁移可能已经开始：请重新执行 migrate，会接着未完成的部分继续",
	"another session keeps a table of the daemon: a transaction that has not ended, a backup, or a statement of an earlier migrate that the server still carries out. " +
		"SHOW FULL PROCESSLIST lists the sessions; repeat migrate when it has ended (%s)": "另一个会话占用着本程序的表：可能是未结束的事务、备份，或上一次 migrate 的语句仍在服务器上执行。用 SHOW FULL PROCESSLIST 查看会话；等它结束后重新执行 migrate（%s）",
	"another process has been migrating for %s (the server's connection %d): try again when it is done": "另一个进程正在迁移，已等待 %s（服务器上的连接号 %d）：等它完成后再试",
}
