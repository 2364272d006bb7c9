package alert

import (
	"cmp"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/payment"
)

// Causes of events. CauseBurst is followed by what is meant.
const (
	CauseBurst   = "burst/" // an outcome
	CauseDamaged = "damaged_message"
	CauseDiffers = "amount_differs" // and was settled: Payment:AmountCheck is report
)

// Causes of other alerts beside the outcomes of parked jobs. Those that end in a slash are followed by what is meant.
const (
	causeLate     = "late"
	causeFailing  = "failing/" // a kind
	causeMissing  = "missing/" // a database: tables or columns
	causeDatabase = "account_database"
	causeTest     = "test"
)

// parkedCause is the cause of a parked job: its outcome, with the kind where the outcome alone does not say whose it is.
func parkedCause(j job.Row) string {
	if j.Outcome == payment.Refused {
		return string(j.Outcome) + "/" + j.Kind
	}
	return string(j.Outcome)
}

// causeTitles are the titles of alerts by cause, in English and Chinese. {what} is what follows the slash.
var causeTitles = map[string][2]string{
	string(payment.AmountMismatch):                            {"a payment differs from the order's amount", "支付金额与订单不符"},
	string(payment.PaidTwice):                                 {"an order was paid twice", "订单重复支付"},
	string(payment.UnknownOrder):                              {"a payment without an order", "支付对应的订单不存在"},
	string(payment.NotStorable):                               {"a message cannot be stored", "消息无法入库"},
	string(payment.StepsExist):                                {"a payment of an order that was paid before", "订单曾经支付过，再次收到支付"},
	string(payment.BadExternalID):                             {"a payment cannot be stored", "支付无法入库"},
	string(payment.Malformed):                                 {"a signed message cannot be read", "签名有效的消息无法解析"},
	string(payment.NotSuccess):                                {"JD reports a payment that did not succeed", "京东通知支付未成功"},
	string(payment.Expired):                                   {"a cabinet was not opened in time", "柜门未能及时打开"},
	string(payment.Refused) + "/" + payment.KindPayComplete:   {"a cabinet did not open", "柜机未开门"},
	string(payment.Refused) + "/" + payment.KindWaybillStatus: {"JD refuses a waybill's status", "京东拒绝运单状态"},
	string(payment.BadDevice):                                 {"a cabinet cannot be addressed", "柜机无法寻址"},
	string(job.Abandoned):                                     {"work was given up", "任务已放弃"},
	string(job.MalformedArgs):                                 {"a job cannot be read", "任务无法读取"},
	string(job.Crashed):                                       {"a job ends its process", "任务导致进程退出"},
	causeLate:                                                 {"steps of a paid order are late", "已支付订单的步骤超时"},
	causeFailing:                                              {"no {what} succeeds", "{what} 持续失败"},
	causeMissing:                                              {"the {what} database lacks tables or columns", "{what}缺少表或列"},
	causeDatabase:                                             {"the account database is away", "账务数据库不可用"},
	CauseBurst:                                                {"many messages are {what}", "大量消息异常：{what}"},
	CauseDamaged:                                              {"a message was damaged", "收到损坏的消息"},
	CauseDiffers:                                              {"a payment of another amount was settled", "金额不符的支付已入账"},
	causeTest:                                                 {"this is a test", "这是一条测试消息"},
}

// chineseDatabases are the names of the databases.
var chineseDatabases = map[string]string{"account": "账务数据库", "main": "主数据库"}

// changeWords are what an alert's title says of the change.
var changeWords = map[job.Change][2]string{
	job.Began: {"", ""}, job.Lasts: {" for more than an hour", "（已超过一小时）"}, job.Ended: {": over", "（已恢复）"},
}

func pick(pair [2]string, in lang.Lang) string {
	if in == lang.Chinese {
		return pair[1]
	}
	return pair[0]
}

// causeTitle is the title of an alert about n troubles.
func causeTitle(cause string, change job.Change, n int, in lang.Lang) string {
	pair, ok := causeTitles[cause]
	if kind, what, cut := strings.Cut(cause, "/"); !ok && cut {
		pair, ok = causeTitles[kind+"/"]
		pair[0], pair[1] = strings.ReplaceAll(pair[0], "{what}", what), strings.ReplaceAll(pair[1], "{what}", cmp.Or(chineseDatabases[what], what))
	}
	title := pick(pair, in)
	if !ok {
		title = cause
	}
	if n > 1 {
		title = fmt.Sprintf("%s ×%d", title, n)
	}
	return title + pick(changeWords[change], in)
}

// moreText names the troubles that have no sentence of their own.
func moreText(n int, orders []string, in lang.Lang) string {
	list := strings.Join(orders[:min(len(orders), 20)], ", ")
	if in == lang.Chinese {
		return fmt.Sprintf("另外还有 %d 项：%s", n, list)
	}
	return fmt.Sprintf("%d more: %s", n, list)
}

// overText says what is over and how many of the same are not.
func overText(g *troubleGroup, n *Notice, open []job.OpenTrouble, in lang.Lang) []string {
	left := -len(g.troubles)
	for _, t := range open {
		if t.Cause == g.cause {
			left++
		}
	}
	orders := strings.Join(n.Orders[:min(len(n.Orders), 20)], ", ")
	if in == lang.Chinese {
		text := "已恢复，无需处理。"
		if orders != "" {
			text = "已处理或已恢复：" + orders
		}
		return []string{text + map[bool]string{true: fmt.Sprintf("；同类未处理：%d 项。", left)}[left > 0]}
	}
	text := "It is over; nothing to do."
	if orders != "" {
		text = "Over: " + orders
	}
	return []string{text + map[bool]string{true: fmt.Sprintf("; still open of the same: %d.", left)}[left > 0]}
}

// bareWord is what a shell takes as it is.
var bareWord = regexp.MustCompile(`^[A-Za-z0-9._/-]+$`)

func quote(word string) string {
	if bareWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// causeCommands are what to run to see more: nothing once all is over.
func causeCommands(g *troubleGroup, n *Notice) []string {
	const program = "jdpay-listener "
	kind, what, _ := strings.Cut(g.cause, "/")
	switch {
	case g.change == job.Ended && len(n.Orders) == 0:
		return nil
	case len(n.Orders) == 1:
		return []string{program + "explain " + quote(n.Orders[0])}
	case kind+"/" == causeFailing:
		return []string{program + "doctor", program + "jobs list --kind " + quote(what)}
	case kind+"/" == causeMissing, g.cause == causeDatabase:
		return []string{program + "doctor"}
	case kind+"/" == CauseBurst, g.cause == CauseDamaged:
		return []string{program + "jobs list --state rejected"}
	case g.cause == causeLate && len(n.Orders) > 0:
		return []string{program + "doctor", program + "explain " + quote(n.Orders[0])}
	case len(n.Jobs) == 1:
		return []string{fmt.Sprintf("%sjobs show %d", program, n.Jobs[0])}
	}
	return []string{program + "jobs list --state parked"}
}

// consolePage is the page of the console that shows more.
func consolePage(console string, orders []string) string {
	if console = strings.TrimRight(console, "/"); len(orders) == 1 {
		return console + "/orders/" + url.PathEscape(orders[0])
	}
	return console + "/"
}
