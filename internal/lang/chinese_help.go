package lang

var helpTexts = map[string]string{
	"for this `TIME`": "静默时长 `TIME`",
	"List open alerts, silence one, or test the receivers": "列出未恢复的告警、静默一条告警，或测试接收方",
	`Lists the open alerts, the newest first: what is wrong, since when, and which receivers know. "jobs" commands change no alert: it is
over when what it tells of is.`: `列出未恢复的告警，最新的在前：出了什么问题、从何时开始、已通知哪些接收方。jobs 命令不会改变告警：
问题消除后告警自动恢复。`,
	"the same as alerts test": "等同于 alerts test",
	"Send a test alert to each receiver of section Alerts, and say what each answers": "向 Alerts 配置节的每个接收方发送测试告警，并显示各自的响应",
	`Sends a test alert to each receiver of section Alerts: the robots of DingTalk, WeCom and Feishu, the webhook; and asks the
heartbeat's address. Says of each what happened. Exits with 1 if one of them does not take it, or if none is configured.`: `向 Alerts 配置节的每个接收方发送测试告警：钉钉、企业微信、飞书机器人和 webhook，并请求心跳地址。
逐个显示结果。有接收方发送失败或没有配置接收方时，退出码为 1。`,
	"Keep an open alert quiet for a time": "将一条未恢复的告警静默一段时间",
	`Keeps an open alert quiet: until the time is over, nobody is told of it, except when it is over. If it is still open then, people are
reminded. The act is written into jdpay_audit.`: `将一条未恢复的告警静默：到期之前不再通知，恢复时除外。到期后如仍未恢复，会再次提醒。
该操作会写入 jdpay_audit。`,
	"Check that no payment is lost or settled twice, or name each one that is": "核对支付有无丢失或重复入账，并逐条列出",
	`Checks that every kept message and every paid order is in exactly one place: finished with all its steps, in progress, or
parked; that settled orders are paid; and that steps and orders agree. It only reads, and may run on a live system.
Prints counts, names each offender, and exits with 1 if there is one. Of payments that ended longer ago than Jobs:KeepDone it
checks what is left: their finished jobs are purged.

It also checks the acts of operators in jdpay_audit: each has the hash of the one before it. It prints the newest one as
ID:HASH. Keep that elsewhere and give it with --acts next time: otherwise it cannot detect that the newest acts were
deleted, or that all were replaced.

With --list it compares a list of payments instead, such as JD's bill: which of them are settled here with the same amount, which
were received and not settled, and why, and which never arrived. It ends with a proof: the classes have all rows and amounts of the
list. Exits with 0 if all agree, 1 if there are findings, and 2 if the file cannot be used.`: `核对每条已落库的消息、每个已支付订单无遗漏、无重复：或已完成全部步骤，或正在处理，或待人工处理；
已入账的订单已标记为已支付；后续步骤与订单一致。只读，可在生产环境运行。
打印计数，逐条列出异常；有异常时退出码为 1。结束时间早于 Jobs:KeepDone 的支付只核对剩余部分：
其已结束的任务已被清理。

还会核对 jdpay_audit 中的人工操作记录：每条都带有上一条的哈希。最新一条以 ID:HASH 的形式打印。
请另行保存，下次用 --acts 给出：否则无法发现最新的记录被删除，或全部记录被替换。

使用 --list 时改为比对一份支付清单（例如京东对账单）：哪些支付已在这里以相同金额入账，哪些已收到但未入账及其原因，哪些从未收到。最后给出证明：
各类别的行数与金额之和等于清单。全部一致时退出码为 0，有差异为 1，文件无法使用为 2。`,
	"other programs mark orders paid, too: do not name recently paid orders that no job settled": "其他程序也会把订单标记为已支付：不列出近期已支付但没有入账任务的订单",
	"the newest act of an earlier audit, as `ID:HASH`: it must still exist":                      "上次核对时最新的操作记录 `ID:HASH`：它必须仍然存在",
	"Check the configuration, or write one from an old file":                                     "检查配置，或由旧文件生成配置",
	"Load and validate the configuration, and print every value with its source":                 "加载并校验配置，打印每个值及其来源",
	`Loads and validates the configuration and prints every effective value with its source, secrets masked. If there are
faults, all of them are listed, with the unknown keys, in place of the values (--json has both); the exit code is then 2.
It also says which files were read: those of --config, else those of the environment variable JDPAY_CONFIG (separated by
colons), else appsettings.json and appsettings.{Environment}.json here or in configs/, else in /etc/jdpay. Every command and
the daemon look for them alike. A table shows how each connection is configured to be secured. With --connect it also connects to each dependency, checks
the columns of the business tables, and shows how each connection is secured; the exit code is 1 if a check fails.`: `加载并校验配置，打印每个生效的值及其来源，密钥以掩码显示。如有错误，则不打印值，而是列出全部错误和
未知的键（--json 两者都有），退出码为 2。
还会显示读取了哪些文件：--config 指定的文件，否则是环境变量 JDPAY_CONFIG 指定的文件（以冒号分隔），
否则是当前目录或 configs/ 下的 appsettings.json 和 appsettings.{Environment}.json，再否则是 /etc/jdpay 下的。
所有命令和守护进程的查找方式相同。另有一张表显示每个连接按配置如何加密。加上 --connect 还会连接每个依赖、
检查业务表的列，并显示每个连接实际如何加密；有检查失败时退出码为 1。`,
	"also connect to each dependency and check the business tables' columns":         "同时连接每个依赖，并检查业务表的列",
	"Write a new configuration file from an old one, such as the replaced program's": "由旧文件（例如被替换程序的配置）生成新的配置文件",
	`Writes a configuration file with the values of an old one, such as the replaced program's: each under its structured
key, with a comment that says what it is and where it came from. Required keys that the old file lacks are empty and named.
Keys of other programs are left out and named. The old file is not changed.

Secrets are written as the old file has them, in clear. A file of --output is readable by its owner alone.`: `用旧文件（例如被替换程序的配置）中的值生成配置文件：每个值写在新的键下，并用注释说明含义和来源。
旧文件缺少的必填键留空并列出；其他程序的键不写入，也会列出。旧文件不会改动。

密钥按旧文件中的明文写入。--output 的文件仅所有者可读。`,
	"old configuration `FILE`, repeatable, merged in order":                         "旧的配置文件 `FILE`，可重复，按顺序合并",
	"write to `FILE` instead of standard output; an existing file is left as it is": "写入 `FILE` 而不是标准输出；已存在的文件不会改动",
	"replace an existing file of --output":                                          "覆盖 --output 已存在的文件",
	"Check the databases, queues, broker, Redis and JD, and say what to change":     "检查数据库、队列、MQTT 服务器、Redis 和京东接口，并给出处理办法",
	`Does what "config check --connect" does, and more: database versions, isolation, clocks, missing columns and indexes,
named locks; the queues' settings against the daemon's timing; an MQTT round trip, to a cabinet that does not exist, and
whether the broker keeps sessions; what the Redis user may do; the connection to JD; how each connection is encrypted and
verified, in a table; the signature of the documented example; permissions of files with secrets. It changes nothing and
leaves nothing behind. Exits with 1 if something fails; what works but should be changed is a warning, and what cannot be
checked because something else failed is marked so.`: `在 config check --connect 的基础上还检查：数据库的版本、隔离级别、时钟、缺少的列和索引、命名锁；
队列设置与守护进程的时间是否匹配；MQTT 收发一个来回（发往并不存在的柜机），以及 MQTT 服务器是否保留会话；
Redis 用户的权限；与京东的连接；每个连接如何加密和校验（列表）；文档示例的签名；含密钥的文件的权限。
不改变任何数据，不留下任何痕迹。有检查失败时退出码为 1；能用但应当调整的显示为警告，
因其他检查失败而无法进行的会注明。`,
	"Say in a sentence or two where an order is, why, and what to do": "用一两句话说明订单的状态、原因和处理办法",
	`Says in a sentence or two of plain language where an order is, why, and what to do: in English, or in Chinese with
--lang zh or if LC_ALL, LC_MESSAGES or LANG begins with zh. It only reads. Like trace it exits with 1 if nothing is known
of the number, or the order cannot be read.`: `用一两句话说明订单的状态、原因和处理办法：默认为英文；--lang zh 或 LC_ALL、LC_MESSAGES、LANG 以 zh 开头时为中文。
只读。与 trace 一样，没有该订单的任何记录或无法读取订单时，退出码为 1。`,
	"Find orders by order number, external id, waybill, cabinet, or a part of one": "按订单号、京东交易号、运单号、柜机编号或其片段查找订单",
	`Finds orders by order number, order id, JD's external id, waybill, the cabinet's serial, or the id of a message in MNS or
to a cabinet. TEXT may be a part that was read out over the phone: case, blanks and dashes do not matter, and it may be in
several words. Whole numbers are found however old they are, if their column has an index; parts of at least 3 letters or
digits in the newest 200,000 orders. Each table is searched for 5 seconds at most. It only reads. Exits with 1 if nothing is
found.`: `按订单号、订单 ID、京东交易号（external id）、运单号、柜机编号、MNS 消息 ID 或柜机命令的消息 ID 查找订单。
TEXT 可以是电话里报的片段：不区分大小写，忽略空格和横线，可分成几段。完整的编号不论新旧都能查到
（该列须有索引）；至少 3 个字母或数字的片段只在最新的 200,000 个订单中查找。每张表最多查 5 秒。只读。
没有找到时退出码为 1。`,
	"at most this `NUMBER` of orders": "最多列出 `NUMBER` 个订单",
	"Global Flags:":                   "全局选项：",
	"Usage:":                          "用法：",
	"Flags:":                          "选项：",
	"Aliases:":                        "别名：",
	"Examples:":                       "示例：",
	"Available Commands:":             "可用命令：",
	"\" for more information about a command.": "” 查看命令的详细说明。",
	"(default ":                          "（默认 ",
	"[command]":                          "[命令]",
	"[flags]":                            "[选项]",
	"Use \"":                             "使用 “",
	"Help about any command":             "显示命令的帮助",
	"help for %s":                        "%s 的帮助",
	"list at most this `NUMBER` of jobs": "最多列出 `NUMBER` 个任务",
	"Show a job: its row, the kept message or arguments, and the history of its errors":   "显示一个任务：任务行、留存的消息或参数，以及历次错误",
	"jobs in this `STATE`: ready, running, waiting, done, rejected or parked; repeatable": "处于 `STATE` 状态的任务：ready、running、waiting、done、rejected 或 parked（待人工处理）；可重复",
	"jobs of this `KIND`, such as pay-complete":                                           "类型为 `KIND` 的任务，例如 pay-complete",
	"List jobs, the newest first, rejected messages last":                                 "列出任务，最新的在前，被拒绝的消息在最后",
	"Make jobs due now, with new tries and a new timeout":                                 "让任务立即重试，次数和期限重新计算",
	`Makes parked, rejected, ready and waiting jobs due now; their tries and their timeout begin anew. Running jobs are not
changed. With --replay jobs that are done are retried, too: a cabinet then gets its command again, with the
same message id, JD the same status, the pay info the same row. No payment is settled twice by it.`: `让待人工处理、被拒绝、ready 和 waiting 的任务立即执行；次数和期限重新计算。执行中的任务不变。
加上 --replay 时，已完成的任务也会重做：柜机再次收到命令（消息 ID 相同），京东再次收到相同的状态，
支付信息写入同一行。不会因此重复入账。`,
	"also jobs that are done: their effects happen again": "包括已完成的任务：其效果会再次发生",
	"End jobs without carrying them out":                  "结束任务而不执行",
	`Ends parked, rejected, ready and waiting jobs with the outcome discarded: they will not be carried out. Running jobs are not
changed. The rows stay for Jobs:KeepDone; until then "jobs retry --replay" revokes it.`: `将待人工处理、被拒绝、ready 和 waiting 的任务以 discarded（已放弃）结束，不再执行。执行中的任务不变。
任务行保留 Jobs:KeepDone 的时长；在此之前可用 jobs retry --replay 撤销。`,
	"all jobs that the filter selects": "筛选条件选中的全部任务",
	"Settle JD payments from MNS, and tell the cabinet, JD and the ERP, without losing one": "处理 MNS 中的京东支付通知：入账，通知柜机、京东和 ERP，不丢一笔",
	`jdpay-listener takes JD payment notifications from an Aliyun MNS queue. It checks each one's signature, marks the order
paid in MySQL, tells the locker cabinet over MQTT and JD over HTTP, and writes the pay info.

Without a command it runs the daemon.`: `jdpay-listener 从阿里云 MNS 队列接收京东支付通知：校验签名，在 MySQL 中把订单标记为已支付，
通过 MQTT 通知柜机、通过 HTTP 通知京东，并写入支付信息。

不带命令时运行守护进程。`,
	"print version, commit and Go version": "打印版本、提交号和 Go 版本",
	"configuration `FILE`, repeatable, merged in order (default JDPAY_CONFIG, else appsettings.json and appsettings.{Environment}.json here or in configs/, else in /etc/jdpay)": "配置文件 `FILE`，可重复，按顺序合并（默认 JDPAY_CONFIG，否则为当前目录或 configs/ 下的 appsettings.json 和 appsettings.{Environment}.json，再否则为 /etc/jdpay 下的）",
	"one setting as `KEY=VALUE`, such as Mqtt:Server=10.0.0.5; also as --Mqtt:Server=10.0.0.5":                                                                                   "单个设置 `KEY=VALUE`，例如 Mqtt:Server=10.0.0.5；也可写作 --Mqtt:Server=10.0.0.5",
	"print one JSON document": "打印一个 JSON 文档",
	"`LANGUAGE` of all texts for people: en or zh (default by LC_ALL, LC_MESSAGES or LANG)": "所有文字的语言 `LANGUAGE`：en 或 zh（默认由 LC_ALL、LC_MESSAGES 或 LANG 决定）",
	"Create or upgrade the daemon's own tables in the account database":                     "在账务数据库中创建或升级本程序自己的表",
	`Creates or upgrades the daemon's own tables in the account database: jdpay_job, jdpay_audit with the acts of
operators, jdpay_alert, jdpay_cursor, jdpay_replica, jdpay_minute and jdpay_pause. It may be repeated, and may run while
replicas work, also replicas of the previous version. It never changes the company's tables.

With --elasticsearch it also installs the template that gives the fields of documents their types, unless this or a newer version
of it is there. The daemon does the same before its first document if its user there has the right to.`: `在账务数据库中创建或升级本程序自己的表：jdpay_job、jdpay_audit（人工操作记录）、jdpay_alert、jdpay_cursor、jdpay_replica、jdpay_minute 和 jdpay_pause。
可重复执行；可在各实例运行时执行，包括上一版本的实例。不会改动公司的业务表。

加上 --elasticsearch 还会安装定义文档字段类型的索引模板，除非已有该版本或更新的版本。
如果守护进程的 Elasticsearch 用户有权限，它在写第一个文档之前也会安装。`,
	"also install the index template in Elasticsearch":                                              "同时在 Elasticsearch 中安装索引模板",
	"your `NAME`, for jdpay_audit (default JDPAY_OPERATOR, SUDO_USER, or the user of this process)": "操作人姓名 `NAME`，写入 jdpay_audit（默认 JDPAY_OPERATOR、SUDO_USER 或当前进程的用户）",
	"the reason, a `TEXT` for jdpay_audit":                                                          "原因 `TEXT`，写入 jdpay_audit",
	"Ask the daemon on this host whether it makes progress: a health check for containers":          "询问本机守护进程是否正常运转：用于容器健康检查",
	`Asks /healthz of the daemon's ops port (Ops:Listen): 0 means that its loops make progress. --ready asks /readyz: 0 means
that account database, MNS and the broker are usable as well. A restart cures a wedged loop and no outage of a dependency, so
let the first decide about restarts, and the second about whether others may start.

Exits with 0 or 1 and with nothing else, as a container's health check must. Of the configuration only Ops:Listen is used: a
fault elsewhere does not matter here.`: `请求守护进程运维端口（Ops:Listen）的 /healthz：0 表示各循环正常运转。--ready 则请求 /readyz：0 表示
账务数据库、MNS 和 MQTT 服务器也可用。重启能解决循环卡死，解决不了依赖故障，
所以是否重启看前者，其他服务能否启动看后者。

退出码只有 0 或 1，符合容器健康检查的要求。只使用配置中的 Ops:Listen：其他配置错误在此无影响。`,
	"ask whether the services it needs are usable, too":     "同时询问所依赖的服务是否可用",
	"Show the next messages of a queue without taking them": "查看队列中接下来的消息，不取走",
	`Shows the next messages of the notify queue, at most 16, without taking them: they stay visible, and the daemon receives
them as if nobody had looked. Each one's order and amount are shown, and whether the daemon would accept it and if not, why;
not its text, and no signature. MNS shows only messages that are visible: what was received a moment ago, or is delayed, is
counted only. An empty queue is no error.`: `查看通知队列中接下来的消息（最多 16 条），不取走：消息仍然可见，守护进程照常接收。显示每条的订单和金额、
守护进程是否会接受，以及不接受的原因；不显示正文和签名。MNS 只显示可见的消息：刚被接收的和延时的只计数。
队列为空不算错误。`,
	"look at SyncReply:QueueName":                                  "查看 SyncReply:QueueName",
	"look at this `QUEUE` (default JDPay:NotifyQueueName)":         "查看队列 `QUEUE`（默认 JDPay:NotifyQueueName）",
	"show at most this `NUMBER` of messages":                       "最多显示 `NUMBER` 条消息",
	"Run the daemon (this is also what happens without a command)": "运行守护进程（不带命令时也是如此）",
	`Runs the daemon until SIGTERM or SIGINT. It then stops receiving, lets running work finish within
Host:ShutdownTimeout and releases the rest for other replicas; a second signal stops at once. Nothing is lost either way.
SIGHUP has the configuration read again at once. A log that nobody reads delays nothing: its lines are dropped and counted.`: `运行守护进程，直到收到 SIGTERM 或 SIGINT。随后停止接收，让正在执行的任务在 Host:ShutdownTimeout 内完成，
其余交给其他实例；第二个信号会立即停止。两种情况都不会丢失任何支付。
SIGHUP 会立即重新读取配置。日志无人读取时不会拖慢处理：日志行会被丢弃并计数。`,
	"Put a signed test notification on the notify queue": "向通知队列发送一条带签名的测试通知",
	`Makes a notification of a payment as JD would send it, signs it with the configured profile and the first key, and puts it
on the notify queue. The daemon handles it like a real one: the order is marked paid, and the cabinet opens. So a queue
that is not on this machine needs --yes-open-a-door, or an order that Payment:TestOrders names. The payload names the
sender (sentBy), and table jdpay_audit records it. --dry-run prints the message and sends nothing; it needs no network.`: `按京东的形式生成一条支付通知，用配置的签名方式和第一个密钥签名，放入通知队列。守护进程会像真实通知一样处理：
订单被标记为已支付，柜门打开。因此，队列不在本机时需要 --yes-open-a-door，或使用 Payment:TestOrders 指定的订单。
内容中会写明发送人（sentBy），并记录到表 jdpay_audit。--dry-run 只打印消息、不发送，不需要网络。`,
	"`ORDER_NO` that is paid":                                                      "被支付的订单 `ORDER_NO`",
	"`AMOUNT` that is paid, in the unit of Payment:AmountUnit":                     "支付金额 `AMOUNT`，单位见 Payment:AmountUnit",
	"JD's pay `TYPE`":                                                              "京东的支付方式 `TYPE`",
	"`TIME` of the payment (default now)":                                          "支付时间 `TIME`（默认当前时间）",
	"JD's trade `NUMBER` (default made up)":                                        "京东的交易号 `NUMBER`（默认自动生成）",
	"another field of the payload as `NAME=VALUE`, repeatable":                     "内容中的其他字段 `NAME=VALUE`，可重复",
	"`QUEUE` to put it on (default JDPay:NotifyQueueName)":                         "目标队列 `QUEUE`（默认 JDPay:NotifyQueueName）",
	"send the content of this `FILE` (- for standard input) as it is instead":      "改为原样发送文件 `FILE`（- 为标准输入）的内容",
	"print the message and send nothing":                                           "只打印消息，不发送",
	"send it to a real queue, although Payment:TestOrders does not name the order": "即使 Payment:TestOrders 没有指定该订单，也发送到真实队列",
	"Print everything known about one order, in time order":                        "按时间顺序打印一个订单的全部记录",
	`Prints everything known about one order: the order, its parcel, cabinet and pay info, and then, in time order, the
notifications and replies that arrived, the steps, their tries, errors and outcomes, what operators did, and what is
planned. Times are in Payment:TimeZone. It only reads. Exits with 1 if nothing is known of the number, or the order cannot
be read.`: `打印一个订单的全部记录：订单及其包裹、柜机和支付信息，然后按时间顺序列出收到的通知和回复、后续步骤及其
各次执行、错误和结果、人工操作，以及将要执行的任务。时间以 Payment:TimeZone 为准。只读。
没有该订单的任何记录或无法读取订单时，退出码为 1。`,
	"Check whether a message would be accepted, and if not, why": "检查消息是否会被接受，以及不接受的原因",
	`Reads one raw message from FILE, or from standard input, and shows how the daemon decodes it: its form and fields, the
text that is hashed (the key masked), the given signature and whether it is the expected one, the decoded notification, and
which signature profiles match, with the settings to configure. It uses neither databases nor the network, and of the
configuration only the sections JDPay, SyncReply and Payment. Exits with 0 only if the message would be accepted.

With --job it reads a kept message from the account database instead, such as a rejected one.

The expected signature is shown only with --show-signature: anybody who sees it can forge the message.`: `从 FILE 或标准输入读取一条原始消息，显示守护进程如何解析：格式和字段、被哈希的文本（密钥以掩码显示）、
消息中的签名及其是否正确、解析出的通知，以及匹配的签名方式和相应的设置。不使用数据库和网络，
只使用配置中的 JDPay、SyncReply 和 Payment 三节。只有消息会被接受时退出码才为 0。

加上 --job 则从账务数据库读取留存的消息，例如被拒绝的消息。

只有加上 --show-signature 才显示正确的签名：看到它的人可以伪造该消息。`,
	"show the signature that the message should have: whoever sees it can forge this message":         "显示消息应有的签名：看到它的人可以伪造该消息",
	"the message that the job with this `ID` keeps, of kind settle or reply":                          "任务 `ID` 留存的消息，类型为 settle 或 reply",
	"the message is one of the sync-reply queue: use that queue's keys, and accept cabinets' replies": "消息来自同步回复队列：使用该队列的密钥，并接受柜机的回复",
	"Print version, commit and Go version":                                                            "打印版本、提交号和 Go 版本",
}
