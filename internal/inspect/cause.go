package inspect

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"jdpay-listener/internal/kernel"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/message"
	"jdpay-listener/internal/sqldb"
)

// Cause says in words why a try failed, whatever program worded the error: text is the error's text, as a job's row has it.
// The words name no user, host or statement. A text that is not known is returned as it is, its first line only, cut to a
// length that fits a sentence.
func Cause(text string, l lang.Lang) string {
	if words := ownWords(text, l); words != "" {
		return words
	}
	if words := wordsOf(causes, text, l); words != "" {
		return words
	}
	return shorten(text)
}

// CauseMessage is the Cause of a text as a message.
func CauseMessage(text string) lang.Message {
	return lang.Both(Cause(text, lang.English), Cause(text, lang.Chinese))
}

// ownWords says in words what the daemon itself or a cabinet objected to. It is empty for other texts.
func ownWords(text string, l lang.Lang) string { return wordsOf(objections, text, l) }

// wordsOf returns the words of the first of these causes that matches, or nothing.
func wordsOf(known []cause, text string, l lang.Lang) string {
	for _, c := range known {
		m := c.form.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		words := c.words.en
		if l == lang.Chinese {
			words = c.words.zh
		}
		if words == "" {
			return shorten(text)
		}
		var pairs []string
		for i, name := range c.form.SubexpNames() {
			if name != "" {
				pairs = append(pairs, "{"+name+"}", message.Cut(m[i], 80))
				if name == "column" {
					pairs = append(pairs, "{alter}", alterFor(m[i], l))
				}
			}
		}
		return strings.NewReplacer(pairs...).Replace(words)
	}
	return ""
}

// shorten makes a part of a sentence of an error's text.
func shorten(text string) string {
	text, _, _ = strings.Cut(text, "\n") // a panic's stack is for `jobs show`
	return strings.TrimRight(message.Cut(text, 200), ".")
}

// alterFor is the end of a sentence about an unknown column: the statement that adds it.
func alterFor(column string, l lang.Lang) string {
	column = strings.ToLower(column[strings.LastIndexByte(column, '.')+1:])
	var statements []string
	for _, t := range slices.Concat(kernel.AccountTables, kernel.MainTables) {
		if i := slices.IndexFunc(t.Columns, func(c kernel.Column) bool { return c.Name == column }); i >= 0 {
			statements = append(statements, kernel.Table{Name: t.Name, Columns: t.Columns[i : i+1]}.AddColumns())
		}
	}
	switch {
	case len(statements) != 1: // `doctor` knows of which table it is
		return cmp.Or(map[lang.Lang]string{lang.Chinese: "，`doctor` 会说明如何补上"}[l], ": `doctor` says how to add it")
	case l == lang.Chinese:
		return "，请执行 " + statements[0]
	}
	return ": " + statements[0]
}

// cause is a form of error texts and what it means.
type cause struct {
	form  *regexp.Regexp
	words text
}

// serverError matches the texts of MySQL's errors of a class; rest matches the message.
func serverError(rest string, class sqldb.ErrorClass) *regexp.Regexp {
	list := strings.Trim(fmt.Sprint(class.Numbers()), "[]")
	return regexp.MustCompile(`(?s)\bError (?:` + strings.ReplaceAll(list, " ", "|") + `)(?: \(\w{5}\))?: ` + rest)
}

// objections are texts of package payment about a message, an order or a cabinet's reply. In English most stay as they are.
var objections = []cause{
	{regexp.MustCompile(`^paid (?P<paid>\S+) yuan, the order's amount is (?P<amount>\S+)$`), text{zh: "实付 {paid} 元，订单金额 {amount} 元"}},
	{regexp.MustCompile(`^the order was paid already by externalId "(?P<first>[^"\\]*)"; this is "(?P<second>[^"\\]*)": the customer needs a refund$`), text{
		zh: "该订单已由 externalId “{first}” 支付，本次为 “{second}”，需给客户退款",
	}},
	{regexp.MustCompile(`^the order was paid already: externalId "(?P<first>[^"\\]*)", (?P<amount>\S+) yuan, pay type (?P<type>\S+), (?P<at>[^;]+); this is not shown to be a copy: ` +
		`externalId "(?P<second>[^"\\]*)", (?P<paid>\S+) yuan, pay type (?P<kind>\S+), (?P<time>.+)$`), text{
		zh: "该订单已支付（externalId “{first}”，{amount} 元，支付方式 {type}，{at}），无法证明本次是其重复通知（externalId “{second}”，{paid} 元，支付方式 {kind}，{time}）",
	}},
	{regexp.MustCompile(`^kernelorder_charge\.external_id does not give externalId "(?P<id>[^"\\]*)" back as it is: `), text{
		zh: "kernelorder_charge.external_id 存入 externalId “{id}” 后读回不一致，请改为足够长、字符集完整的 VARCHAR",
	}},
	{regexp.MustCompile(`^malformed message: amount "(?P<amount>[^"\\]*)" (?:is|has) `), text{zh: "金额 “{amount}” 无法识别"}},
	{regexp.MustCompile(`^malformed message: payTime "(?P<time>[^"\\]*)" is not a time`), text{zh: "支付时间 “{time}” 无法识别"}},
	{regexp.MustCompile(`^malformed message: (?P<field>\w+) is missing$`), text{zh: "缺少 {field}"}},
	{regexp.MustCompile(`^malformed message: data is `), text{zh: "data 无法解析"}},
	{regexp.MustCompile(`^(?P<field>\S+) is "(?P<status>[^"\\]*)", which is not one of Payment:SuccessStatuses$`), text{
		zh: "{field} 为 “{status}”，不在 Payment:SuccessStatuses 之列",
	}},
	{regexp.MustCompile(`^the cabinet refused with code (?P<code>\S+): (?P<said>.*)$`), text{zh: "柜机拒绝，代码 {code}：{said}"}},
	{regexp.MustCompile(`^given up after (?P<time>\S+) and (?P<tries>\d+) tries: no reply came$`), text{zh: "{time} 内发送 {tries} 次均无回复，已放弃"}},
	{regexp.MustCompile(`^its time was over at (?P<at>\S+), before it was stored$`), text{zh: "有效时间到 {at} 为止，入账时已过"}},
	{regexp.MustCompile(`^its time was over at (?P<at>\S+), while the parcel was looked up$`), text{zh: "有效时间到 {at} 为止，查询包裹期间已过"}},
	{regexp.MustCompile(`^order (?s:.*) is not marked paid, and has steps of an earlier payment: was its row set back, restored, or its order_id used again\?`), text{
		"was its row set back, restored, or its order_id used again?", "该行是否被改回、从备份恢复，或 order_id 被重复使用？",
	}},
	{regexp.MustCompile(`^the database refuses this message; (?P<kept>\d+) of its (?P<size>\d+) bytes are kept \(SHA-256 of all: \w+\): (?:storing 1 jobs: )?(?P<why>.*)`), text{
		"{kept} of its {size} bytes: {why}", "{size} 字节中的 {kept} 字节：{why}",
	}},
	{regexp.MustCompile(`^\d+ processes in a row ended while they ran this job; the last: instance (?P<instance>\S+) ended during this try`), text{zh: "最后一次为实例 {instance}"}},
}

// causes are ordered: the first that matches counts.
var causes = []cause{
	// The company's rows: kernel.MissingRowError and kernel.BadValueError.
	{regexp.MustCompile(`no row in (?P<table>\w+) with (?P<key>\w+) = '(?P<value>[^']*)'`), text{
		"no row in {table} with {key} = '{value}'", "表 {table} 中没有 {key} = '{value}' 的行",
	}},
	{regexp.MustCompile(`(?P<name>\w+\.\w+) is (?P<found>NULL or empty|NULL|'[^']*') in the row with (?P<key>\w+) = '(?P<value>[^']*)'`), text{
		"{name} is {found} in the row with {key} = '{value}': correct the row", "{key} = '{value}' 的行中 {name} 的值为 {found}，请更正该行",
	}},

	// Dependencies that are down.
	{regexp.MustCompile(`jd (?:is|was) down, the circuit breaker is`), text{"JD does not answer, and calls wait until it does", "京东接口无响应，恢复后会自动继续"}},
	{regexp.MustCompile(`not connected to the mqtt broker`), text{"the MQTT broker cannot be reached", "无法连接 MQTT 服务器"}},

	// MNS: the classes of package mns. One without a response is told by the network's error, if that is known.
	{regexp.MustCompile(`access refused: check the access key.*\(HTTP \d+ (?P<code>\w+)`), text{
		"MNS refuses access ({code}): check the access key, its secret and its rights on the queue", "MNS 拒绝访问（{code}），请检查 AccessKey、密钥及其对队列的权限",
	}},
	{regexp.MustCompile(`access refused: check the access key`), text{
		"MNS refuses access: check the access key, its secret and its rights on the queue", "MNS 拒绝访问，请检查 AccessKey、密钥及其对队列的权限",
	}},
	{regexp.MustCompile(`the clocks disagree: set this machine's clock`), text{"this machine's clock differs from that of MNS: set it", "本机时钟与 MNS 不一致，请校准本机时钟"}},
	{regexp.MustCompile(`the queue does not exist: create it`), text{
		"the queue does not exist: create it, or correct its name, the account or the region", "队列不存在，请创建队列，或更正队列名、账号或地域",
	}},
	{regexp.MustCompile(`the response is not from MNS: `), text{"the response is not from MNS: check the endpoint and any proxy before it", "响应并非来自 MNS，请检查接入点及其前面的代理"}},
	{regexp.MustCompile(`MNS reports an internal error: `), text{"MNS reports an internal error", "MNS 报告内部错误"}},
	{regexp.MustCompile(`too many requests: MNS throttles`), text{"MNS throttles the requests", "请求过多，被 MNS 限流"}},

	// A robot that takes alerts.
	{regexp.MustCompile(`^it refuses the notice: code (?P<code>-?\d+), (?P<said>.*)$`), text{"it refuses the notice: code {code}, {said}", "机器人拒绝了告警，代码 {code}：{said}"}},
	{regexp.MustCompile(`^it refuses the notice: the response is not a robot's$`), text{"the response is not a robot's", "响应并非来自机器人，请检查地址"}},
	{regexp.MustCompile(`^it answers (?P<status>\d.*)$`), text{"it answers {status}", "对方返回 {status}"}},

	// What the database lacks, or does not permit.
	{serverError(`Unknown column '(?P<column>[^']+)'`, sqldb.Missing), text{"the database has no column {column}{alter}", "数据库缺少列 {column}{alter}"}},
	{serverError(`Table '(?:[^'.]+\.)?(?P<table>[^'.]+)' doesn't exist`, sqldb.Missing), text{
		"the database has no table {table}: create it, or a view with this name", "数据库中没有表 {table}，请创建该表或同名视图",
	}},
	{serverError(`View '(?:[^'.]+\.)?(?P<table>[^'.]+)' references invalid`, sqldb.Missing), text{
		"view {table} is broken: a table, column or right that it uses is missing", "视图 {table} 已失效：缺少其引用的表、列或权限",
	}},
	{serverError(`(?P<act>[A-Z ]+?) command denied to user .* for column '(?P<name>[^']+)' in table '(?P<table>[^']+)'`, sqldb.Denied), text{
		"the database's user has no {act} right on {table}.{name}: deploy/grants.sql gives it", "数据库用户没有 {table}.{name} 的 {act} 权限，请按 deploy/grants.sql 授权",
	}},
	{serverError("(?P<act>[A-Z ]+?) command denied to user .* for table (?:'|`[^`]+`\\.`|`)(?P<table>[^'`]+)", sqldb.Denied), text{
		"the database's user has no {act} right on table {table}: deploy/grants.sql gives it", "数据库用户没有表 {table} 的 {act} 权限，请按 deploy/grants.sql 授权",
	}},
	{serverError("", sqldb.NoAccess), text{"the database's user has no access to this database: deploy/grants.sql gives it", "数据库用户无权访问该数据库，请按 deploy/grants.sql 授权"}},
	{serverError("", sqldb.Login), text{"the database refuses the user or the password: check ConnectionStrings", "数据库拒绝了用户名或密码，请检查 ConnectionStrings"}},
	{serverError("", sqldb.NoDatabase), text{"the database does not exist on this server: check ConnectionStrings", "服务器上没有这个数据库，请检查 ConnectionStrings"}},
	{serverError("", sqldb.Denied), text{"the database's user lacks a right: deploy/grants.sql gives it", "数据库用户缺少权限，请按 deploy/grants.sql 授权"}},

	// The database's state.
	{serverError("", sqldb.ReadOnly), text{"the database takes no writes: connect to the primary", "数据库处于只读状态，请连接主库"}},
	{serverError("", sqldb.Unjoined), text{"this node of the database cluster is not part of a working cluster", "该数据库节点未加入可用的集群"}},
	{serverError("", sqldb.NoConnection), text{"the database has no connection left for this user", "数据库连接数已满"}},
	{serverError("", sqldb.Full), text{"the database's disk or a table is full", "数据库磁盘或表空间已满"}},
	{serverError("", sqldb.Locked), text{"another transaction holds the row locked for too long: look for it with SHOW PROCESSLIST", "其他事务长时间锁住该行，请用 SHOW PROCESSLIST 查找"}},
	{serverError("", sqldb.RolledBack), text{"it conflicts with other transactions again and again", "与其他事务反复冲突"}},
	{serverError("", sqldb.Ended), text{"the database ended the connection", "数据库中断了连接"}},

	// A statement that the tables do not take.
	{serverError(`Field '(?P<name>[^']+)' doesn't have a default value`, sqldb.NoDefault), text{
		"column {name} was added without a default value: give it one", "新增的列 {name} 没有默认值，请为其设置默认值",
	}},
	{serverError(`.*for column [^']*'?(?P<name>[\w.\x60]+)'?`, sqldb.Unfit), text{
		"column {name} cannot hold the value: compare its type with the documentation", "列 {name} 无法保存该值，请核对其类型",
	}},
	{serverError(`Column '(?P<name>[^']+)' cannot be null`, sqldb.Null), text{"column {name} takes no NULL", "列 {name} 不允许为 NULL"}},
	{serverError("", sqldb.Duplicate), text{"another row has the same unique key", "存在唯一键相同的行"}},
	{serverError("", sqldb.Collations), text{"the collations of two columns do not fit together", "两列的排序规则不一致"}},
	{serverError("", sqldb.Trigger), text{"a trigger of the database refuses it", "数据库触发器拒绝了该操作"}},

	// The network, for databases and JD alike.
	{regexp.MustCompile(`connection refused`), text{"nothing listens at the server's address (connection refused)", "服务器地址拒绝连接（connection refused）"}},
	{regexp.MustCompile(`no such host`), text{"the server's name is not known (DNS)", "无法解析服务器域名（DNS）"}},
	{regexp.MustCompile(`no route to host|network is unreachable`), text{"there is no network to the server", "到服务器的网络不通"}},
	{regexp.MustCompile(`x509: |tls: `), text{"the server's TLS certificate is not accepted", "服务器的 TLS 证书无效"}},
	{regexp.MustCompile(`i/o timeout|deadline exceeded|Client\.Timeout`), text{"the server does not answer in time", "服务器响应超时"}},
	{regexp.MustCompile(`connection reset|broken pipe|bad connection|invalid connection|unexpected EOF|\bEOF\b`), text{"the connection was cut", "连接被中断"}},
	{regexp.MustCompile(`no response from MNS: `), text{"no response from MNS: check the endpoint and the network", "MNS 无响应，请检查接入点和网络"}},
	{regexp.MustCompile(`panic in `), text{"the program has an error (panic): `jobs show` prints it", "程序内部错误（panic），请用 `jobs show` 查看"}},
}
