package lang

// statusTexts has the texts of status, of the choice of jobs and of pauses.
var statusTexts = map[string]string{
	"nothing needs a person":                      "没有需要人工处理的事项",
	"a person is needed":                          "需要人工处理",
	"not read: %s":                                "未能读取：%s",
	"%d alerts are open, and %d jobs are parked":  "未结束的告警 %d 条，待人工处理的任务 %d 个",
	"%d orders are paid and the door is not open": "已付款但柜门未开的订单 %d 个",
	"%s yuan":                          "%s 元",
	"DUE":                              "到期",
	"DUE SINCE":                        "最早到期于",
	"UNFINISHED":                       "未完成",
	"OLDEST":                           "最久",
	"PARKED":                           "待人工",
	"%d jobs are due":                  "到期待执行的任务 %d 个",
	"  PAUSED: %s until %s, by %s: %s": "  已暂停：%s，至 %s，操作人 %s，原因：%s",
	"today: %d payments with %s yuan, %d messages rejected, %d jobs parked": "今日：付款 %d 笔，共 %s 元；拒收消息 %d 条；转待人工处理 %d 个",
	"%d replicas live":   "存活的实例 %d 个",
	"seen %s ago":        "%s前有心跳",
	"GONE, last seen %s": "已失联，最后心跳 %s",
	"since %s":           "自 %s 起运行",
	"%d s":               "%d 秒",
	"%d min":             "%d 分钟",
	"%d h":               "%d 小时",
	"%d days":            "%d 天",
}
