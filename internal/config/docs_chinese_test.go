package config

// chineseDocs has the Chinese form of each option's doc tag, for docs/zh/configuration.md.
var chineseDocs = map[string]string{
	"Least level that is logged.": "日志的最低级别。",
	"Form of the log lines: json; text for eyes; ecs is JSON with the field names of the Elastic Common Schema, for pipelines to Elasticsearch.":                                "日志行的格式：json；text 便于人读；ecs 是采用 Elastic Common Schema 字段名的 JSON，用于接入 Elasticsearch 的采集管道。",
	"How long running work may take to finish after SIGTERM or SIGINT.":                                                                                                         "收到 SIGTERM 或 SIGINT 后，等待正在执行的任务结束的最长时间。",
	"Name of this process in logs, leases and the MQTT client id; unique per process, at most 40 of A-Z a-z 0-9 . _ -. Empty: made of host name, process id and a random part.": "本进程在日志、租约和 MQTT 客户端 ID 中的名称；每个进程必须唯一，最多 40 个字符，限 A-Z a-z 0-9 . _ -。为空：由主机名、进程号和随机串组成。",
	"Database with the recharge orders and the job table.":                                                                                                                      "账务数据库：充值订单和任务表所在的库。",
	"Database with the post orders, devices and pay infos.":                                                                                                                     "主数据库：寄件订单、设备和支付信息所在的库。",
	"http(s)://<account>.mns.<region>.aliyuncs.com, its VPC and internal forms, or any http://host:port.":                                                                       "http(s)://<account>.mns.<region>.aliyuncs.com，或其 VPC、内网形式，或任意 http://host:port。",
	"Access key id. Empty: the SDK's credential chain is asked.":                                                                                                                "AccessKey ID。为空：使用 SDK 的凭据链。",
	"Secret of the access key id.":                              "AccessKey Secret。",
	"Token of temporary (STS) credentials.":                     "临时凭据（STS）的令牌。",
	"Length of one long poll, in seconds.":                      "一次长轮询的秒数。",
	"Messages taken by one receive.":                            "一次接收的消息数。",
	"Most concurrent pollers per queue; an idle queue has one.": "每个队列的最大并发轮询数；空闲队列只有一个。",
	"Queue with JD's pay notifications.":                        "京东支付通知所在的队列。",
	"Signing key, or a list of them while a key is rotated. A placeholder such as change-me is refused; fewer than 16 characters are a warning.":                                                                                                               "签名密钥；轮换期间可为列表。change-me 之类的占位值会被拒绝；少于 16 个字符会告警。",
	`How the signed text is put together; "jdpay-listener verify" finds it from one real message. The concat_ profiles and values_only do not mark where fields begin: with them, a text that others choose in a signed field can be passed off as a payment.`: `待签名串的拼接方式；可用一条真实消息通过 "jdpay-listener verify" 找出。concat_ 各方式和 values_only 不区分字段边界：他人若能控制某个签名字段的内容，就可能冒充支付。`,
	"Fields without a value are not signed.":                                                                               "没有值的字段不参与签名。",
	"Envelope fields that are not signed, in any case. Never data or the status field.":                                    "不参与签名的信封字段，不区分大小写。不能包含 data 和状态字段。",
	"The only fields that are signed, in any case; data and the status field must be among them. Empty: whatever arrived.": "仅这些字段参与签名，不区分大小写；必须包含 data 和状态字段。为空：收到的全部字段。",
	"Values are signed without surrounding white space, and fields of nothing else like those without a value.":            "字段值去掉首尾空白后再参与签名；全为空白的字段视为没有值。",
	"Field names are sorted ignoring case instead of by ASCII code.":                                                       "字段名排序忽略大小写，而非按 ASCII 码。",

	"Form of the MNS message body.": "MNS 消息体的形式。",

	"Queue with the replies, not that of JDPay:NotifyQueueName. Empty: the listener is off.":                                  "柜机回复所在的队列，不能与 JDPay:NotifyQueueName 相同。为空：不监听。",
	"Signing key or keys of cabinets' replies; JDPay:Md5Key if it is empty. Payments on this queue always use JDPay:Md5Key.":  "柜机回复的签名密钥（可多个），为空时使用 JDPay:Md5Key。该队列上的支付消息始终使用 JDPay:Md5Key。",
	"Payload field with the id of the command that is answered.":                                                              "内容中表示所回复命令 ID 的字段。",
	"Payload field with the cabinet's serial number.":                                                                         "内容中表示柜机编号的字段。",
	"Payload field with the result code.":                                                                                     "内容中表示结果码的字段。",
	"Payload field with the result text.":                                                                                     "内容中表示结果说明的字段。",
	"A reply counts only if it names the cabinet that the command was sent to. false: one that names no cabinet counts, too.": "回复必须注明命令所发往的柜机才算数。false：未注明柜机的回复也算数。",
	"Reply codes that mean the cabinet did it.":                                                                               "表示柜机已执行的回复码。",
	"Reply codes that are not final, such as busy or opening.":                                                                "非最终结果的回复码，如忙、正在开门。",
	"Unit of payAmount.": "payAmount 的单位。",
	"What happens when payAmount differs from the order's amount, or is 0 and the order has none: enforce parks, report settles and alerts, off books whatever was paid.": "payAmount 与订单金额不符，或为 0 而订单没有金额时的处理：enforce 列为待人工处理，report 入账并告警，off 不核对直接入账。",
	"Payment type stored for each exact payType.":                 "每个 payType（完全匹配）对应写入的支付类型。",
	"Payment type stored for any other payType.":                  "其他 payType 写入的支付类型。",
	"Payment status written to the pay info.":                     "写入支付信息的支付状态。",
	"Message of the pay info.":                                    "支付信息中的说明。",
	"Time of the pay info: JD's pay time or the time of writing.": "支付信息的时间：京东的支付时间，或写入时间。",
	"Notification field with the payment's status, in data or else among the signed fields of the envelope. Empty: the status is not looked at.": "通知中表示支付状态的字段，位于 data 中，否则取信封中参与签名的字段。为空：不检查状态。",
	"Values of the status field that mean paid.":                                                                          "状态字段中表示已支付的值。",
	"IANA zone of pay times that carry none.":                                                                             "支付时间未带时区时所用的 IANA 时区。",
	"How long a payment waits for its order row before it is parked.":                                                     "支付等待订单写入的最长时间，超过后列为待人工处理。",
	"A message, a reply or a step that is not done after this time is an alert.":                                          "消息、回复或步骤超过此时间仍未完成则告警。",
	`Order numbers, or patterns of them such as TEST-*, that "jdpay-listener send" may pay on a real queue. Case counts.`: `允许 "jdpay-listener send" 在真实队列上支付的订单号，或 TEST-* 这样的模式。区分大小写。`,
	"Host of the broker; host:port, tcp:// and mqtts:// forms are understood.":                                            "MQTT 服务器地址；也可写成 host:port、tcp:// 或 mqtts:// 形式。",
	"Port of the broker (8883 for an mqtts:// server that names none).":                                                   "MQTT 服务器端口（mqtts:// 地址未写端口时为 8883）。",
	"User name.":            "用户名。",
	"Password of the user.": "用户的密码。",

	"MQTT client id, before the instance name.":                                                    "MQTT 客户端 ID 的前缀，其后为实例名。",
	"Topic of the cabinet command; {DeviceGroupSN}, {PostOrderId} and {DeviceType} are filled in.": "柜机命令的主题；{DeviceGroupSN}、{PostOrderId} 和 {DeviceType} 会被替换。",

	"A command counts as done only when the cabinet has replied. If it is false, a command that the broker acknowledged and no cabinet received is not noticed.": "柜机回复后命令才算完成。为 false 时，服务器已确认但没有柜机收到的命令不会被发现。",

	"Wait for the reply before the command is sent again.":                                                                    "等待回复的时间，超过后重发命令。",
	"Age at which a command is given up, from when MNS took the notification in: no door opens long after the customer left.": "命令的有效时间，从 MNS 收到通知算起，超过后放弃：客户离开很久之后不再开门。",
	"Connect with TLS.": "使用 TLS 连接。",
	"PEM file with the authorities the broker's certificate is checked against. Empty: the system's.": "校验服务器证书所用 CA 的 PEM 文件。为空：使用系统的 CA。",
	"PEM file with the client certificate.":                                                           "客户端证书的 PEM 文件。",
	"PEM file with the key of the client certificate.":                                                "客户端证书私钥的 PEM 文件。",
	"Address of JD's API.": "京东接口的地址。",
	"Path of the call; with the jos signer the name of its method.": "调用的路径；使用 jos 签名时为方法名。",
	"How calls are authenticated.":                                  "调用的认证方式。",
	"Application key of the jos signer.":                            "jos 签名的 App Key。",
	"Application secret of the jos signer.":                         "jos 签名的 App Secret。",
	"Access token of the jos signer.":                               "jos 签名的 Access Token。",
	"Headers the header signer adds.":                               "header 方式所附加的请求头。",
	"Producer of JD sending cabinets (device type 6).":              "京东寄件柜（设备类型 6）的 producer。",
	"Producer of all other cabinets.":                               "其他柜机的 producer。",
	"Limit of one call.":                                            "单次调用的超时时间。",
	"Codes in a refusal of JD's service that are worth another try. Errors of the jos platform itself need none: its outages are retried.":  "京东业务服务拒绝时，其中可重试的返回码。jos 平台自身的错误不必列出：平台故障会自动重试。",
	"Codes in a refusal of JD's service that mean it was done before. An error of the jos platform itself never counts, whatever its code.": "京东业务服务拒绝时，其中表示此前已处理过的返回码。jos 平台自身的错误无论代码是什么都不算。",
	"PEM file with the authorities that JD's certificate is checked against. Empty: the system's.":                                          "校验京东证书所用 CA 的 PEM 文件。为空：使用系统的 CA。",
	"Most calls per second. 0: no limit.": "每秒最多调用次数。0：不限。",
	"host, host:port, a StackExchange.Redis string or a redis:// address. Empty, with EndPoints empty too: Redis is off.":                "host、host:port、StackExchange.Redis 连接串或 redis:// 地址。与 EndPoints 同时为空：不使用 Redis。",
	"Several endpoints (cluster, or Sentinels with serviceName=), as a list or one comma-separated string. Wins over Server.":            "多个节点（集群，或带 serviceName= 的哨兵），列表或以逗号分隔的字符串。优先于 Server。",
	"Wins over the password inside Server or EndPoints.":                                                                                 "优先于 Server 或 EndPoints 中的密码。",
	"Database number. 0 and -1: the one inside Server or EndPoints, else 0.":                                                             "数据库编号。0 和 -1：取 Server 或 EndPoints 中的编号，没有则为 0。",
	"PEM file with the authorities that the servers' certificates are checked against, with ssl=true or rediss://. Empty: the system's.": "使用 ssl=true 或 rediss:// 时，校验服务器证书所用 CA 的 PEM 文件。为空：使用系统的 CA。",
	"How long a device group is cached.": "柜机信息的缓存时间。",
	"Prefix of the keys and channels replies are written to; not one under which cabinets are cached (jdpay:device:).": "写入回复的键和频道的前缀；不能与柜机缓存的前缀（jdpay:device:）重叠。",
	"How long a reply is kept.":              "回复的保留时间。",
	"Address of the cluster. Empty: off.":    "集群地址。为空：不启用。",
	"Index name; -yyyy.MM is appended.":      "索引名；会追加 -yyyy.MM。",
	"API key, instead of user and password.": "API Key，可代替用户名和密码。",
	"PEM file with the authorities that the cluster's certificate is checked against. Empty: the system's.": "校验集群证书所用 CA 的 PEM 文件。为空：使用系统的 CA。",
	"false keeps messages and executes nothing.":                                                            "false：只落库，不执行任何任务。",
	"Most jobs of a kind that run at once; default is for kinds not named.":                                 "各类任务的最大并发数；default 用于未列出的类型。",
	"Retry schedule of a kind; default is for kinds not named.":                                             "各类任务的重试策略；default 用于未列出的类型。",
	"How long finished jobs are kept.":                                                                      "已完成任务的保留时间。",
	"How long rejected messages are kept as evidence.":                                                      "被拒绝的消息作为证据的保留时间。",
	"Address of probes and metrics. Without a token only loopback is allowed. Port 0: any free one, which the log names (ops_address). Empty: off, without probes and metrics. Two daemons on one host need two.": "探针和指标的监听地址。未设令牌时只允许回环地址。端口为 0 时任选一个空闲端口，由日志中的 ops_address 给出；留空则关闭，没有探针和指标。同一主机上的两个守护进程须各用一个地址。",
	"Token that everything but the two probes asks for.": "除两个探针外，访问其余页面所需的令牌。",

	"Serve Go's profiles (/debug/pprof) on the ops port, for go tool pprof. Needs Ops:Token, also on loopback.":                                                                         "在运维端口上提供 Go 的性能分析（/debug/pprof），供 go tool pprof 使用。必须设置 Ops:Token，只监听本机时也不例外。",
	"Refuse to run unless every connection that leaves this machine is encrypted and the server at its other end verified, and the ops port listens on loopback; see docs/security.md.": "除非所有出本机的连接都已加密并校验对端服务器，且运维端口只监听回环地址，否则拒绝运行；见 docs/security.md。",
	"Robot address with its access token. Empty: off.":             "机器人地址（含 access token）。为空：不启用。",
	"Signing secret of the robot (its security setting 加签, SEC…).": "机器人安全设置“加签”的密钥（SEC 开头）。",
	"Signing secret of the robot (its security setting 签名校验).":     "机器人安全设置“签名校验”的密钥。",
	"Robot address. Empty: off.":                                   "机器人地址。为空：不启用。",
	"Language of the cards.":                                       "告警卡片的语言。",
	"Address of the console as operators reach it, such as https://jdpay.example:9300: cards link to it. Empty: cards name commands only.":           "运维人员访问控制台的地址，如 https://jdpay.example:9300，卡片会链接到它。为空：卡片只给出命令。",
	"Address that is asked (GET) every minute while the daemon is healthy, for a service that tells when the requests stop. Empty: off.":             "程序健康时每分钟请求（GET）一次的地址；请求停止时由对方服务通知。为空：不启用。",
	"Audit at three in the morning (Payment:TimeZone), with an alert if it finds something: paid_elsewhere if other programs mark orders paid, too.": "凌晨三点（Payment:TimeZone）核对一次，发现异常则告警；如有其他程序也会把订单标为已支付，设为 paid_elsewhere。",
	"Mobile numbers that are mentioned by alerts that are to wake people.":                                                                           "需要叫醒人的告警 @ 这些手机号。",
	"Alerts that are to wake people mention the whole group.":                                                                                        "需要叫醒人的告警 @ 所有人。",
	"Open ids (ou_…) of users that are mentioned by alerts that are to wake people.":                                                                 "需要叫醒人的告警 @ 这些用户的 open id（ou_…）。",
	"Mobile numbers that are mentioned by alerts that are to wake people; these come as plain text then.":                                            "需要叫醒人的告警 @ 这些手机号；此时以纯文本发送。",
	"Alerts that are to wake people mention the whole group; these come as plain text then.":                                                         "需要叫醒人的告警 @ 所有人；此时以纯文本发送。",
	"Robot address with its key. Empty: off.":                                                                                                        "机器人地址（含 key）。为空：不启用。",
	"Address alerts are posted to as JSON. Empty: off.":                                                                                              "以 JSON 推送告警的地址。为空：不启用。",
	"Secret the posts are signed with, as of Standard Webhooks: whsec_ and the key in base64, or any text, whose bytes are the key.":                 "推送签名所用的密钥（Standard Webhooks）：whsec_ 加 base64 密钥，或任意文本（其字节即密钥）。",

	"Address of the console. Without a sign-in (Console:Tokens, Console:UserHeader) only loopback is allowed. Port 0: any free one, which the log names.":                                            "控制台的监听地址。没有登录方式（Console:Tokens、Console:UserHeader）时只能监听本机。端口 0：任意空闲端口，日志会写明。",
	"A token for each person who may sign in, by the person's name; at least 16 characters.":                                                                                                         "每个可登录的人的令牌，以姓名为键；至少 16 个字符。",
	"Request header in which a proxy of Console:TrustedProxies gives the name of who is signed in, such as X-Forwarded-User. Empty: none.":                                                           "Console:TrustedProxies 中的代理用来传递登录者姓名的请求头，例如 X-Forwarded-User。为空：不使用。",
	"Addresses of proxies, such as 10.0.0.5 or 10.0.0.0/24, of which Console:UserHeader, X-Forwarded-For and X-Forwarded-Proto are believed. They must remove these headers from what they receive.": "受信任代理的地址，例如 10.0.0.5 或 10.0.0.0/24；只采信它们给出的 Console:UserHeader、X-Forwarded-For 和 X-Forwarded-Proto。代理必须删除所收到请求中的这些请求头。",
	"Those of Console:Operators may retry and discard jobs.":                                                                                                                                         "Console:Operators 中的人可以重试和放弃任务。",
	"Names of those who may act, as they sign in.":                                                                                                                                                   "可以操作的人的姓名，与登录时一致。",
	"Connection of the account database for acts, as user jdpay_operator; ConnectionStrings are those of jdpay_read.":                                                                                "执行操作时使用的账务数据库连接，用户为 jdpay_operator；ConnectionStrings 则为 jdpay_read 的连接。",
	"PEM file with the console's certificate. Empty: no TLS.":                                                                                                                                        "控制台证书的 PEM 文件。为空：不使用 TLS。",
	"PEM file with the key of the certificate.":                                                                                                                                                      "证书私钥的 PEM 文件。",
}

// chineseWords has the Chinese form of the words that the generator adds.
var chineseWords = map[string]string{
	"key": "键", "type": "类型", "default": "默认值", "kind": "类型", "Retry schedules": "重试策略",
	" One of `%s`.": "可选值：`%s`。", " %s to %s.": "%s 到 %s。", " **Live.**": "**即时生效。**",
	"duration": "时长", "level": "级别", "secret": "机密", "schedule": "策略", "list of %s": "%s列表", "%s by name": "按名称的%s",
	"true/false": "true/false", "whole number": "整数", "number": "数字", "text": "文本",
	"see below": "见下文", "made up": "自动生成", "**required**": "**必填**", "none": "无", "empty": "空",
}

const chineseHead = `# 配置

<!-- 连接字符串之前的部分由 internal/config 生成：英文改 doc 标签，中文改 docs_chinese_test.go，然后运行 go test ./internal/config -update -->

[configs/appsettings.json](../../configs/appsettings.json) 列出了所有键及其默认值，可直接复制。其中的 ` + "`$schema`" + ` 指向
[appsettings.schema.json](../../configs/appsettings.schema.json)，编辑器据此补全和校验：请两个文件一起复制。
` + "`jdpay-listener config check`" + ` 会列出每个生效的值及其来源，并一次报出所有错误。

## 来源

后者优先：

1. 下文的默认值
2. 文件，依次合并：` + "`--config FILE`" + `（可重复）所列的；否则变量 ` + "`JDPAY_CONFIG`" + ` 所列的（` + "`a.json:b.json`" + `）；否则 ` + "`appsettings.json`" + `，
   然后是 ` + "`appsettings.{Environment}.json`" + `，各自先在当前目录找，再在 ` + "`configs/`" + ` 找；都没有时，取 ` + "`/etc/jdpay`" + ` 中同样的两个。环境名取
   ` + "`DOTNET_ENVIRONMENT`，否则 `ASPNETCORE_ENVIRONMENT`，否则 `Production`" + `。守护进程和每个命令的查找方式相同；` + "`config check`" + ` 说明用了哪些
3. 环境变量：` + "`Mqtt__Server=…`，列表元素 `JDPay__Md5Key__0=…`" + `
4. 带前缀 ` + "`JDPAY_` 的环境变量：`JDPAY_Mqtt__Server=…`" + `
5. 命令行参数：` + "`--set Mqtt:Server=…`" + `；机密类的键不能这样给，因为本机任何用户都能看到进程的参数

机密值可以单独放在文件里：` + "`Mqtt__Password_FILE=/run/secrets/mqtt`" + ` 会读取该文件的内容（去掉末尾换行）。下文所有类型为机密的键都支持，
连接字符串也一样。

- 键不区分大小写。文件中可以有注释和多余的逗号。同一文件中重复的键是错误。
- 未知的键会告警，并提示拼写相近的键；早期版本的 ` + "`SyncReply:Fields:Time`" + ` 也按未知键告警，它从未起过作用。.NET 主机和日志库在同一文件中的内容（` + "`AllowedHosts`、`Kestrel`、`Serilog`、`Logging:Console`" + `、
  其他连接字符串等）会被忽略。
- 文件编码为 UTF-8，有无 BOM 均可。
- 与 .NET 相同，不同来源的列表按下标合并，配置节按键合并；给出列表即取代默认列表。单个值等同于只有一项的列表，含逗号的文本按逗号拆成列表（密钥除外），空文本等同于空列表。` + "`null`" + ` 表示不设置该键。
- 数字和布尔值可以写成字符串。时长可写成 ` + "`\"30s\"`、`\"1h30m\"`、`\"00:00:30\"`、`\"1.02:03:04\"`" + `（天.时:分:秒），或直接写秒数。
- 文件（包括存放机密值的文件）改动后会重新读取。标有**即时生效**的键立即生效，其他键的改动会在日志中注明需要重启；有错误的配置整体不予采用。

## 键
`

const chineseLegacy = `
## 旧程序的键

可写在根级，或名为 ` + "`Dev001.ThirdService`" + ` 的配置节中。根级优先于该节，结构化的键优先于两者。

| 旧键 | 结构化的键 |
|---|---|
`
