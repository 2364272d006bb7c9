package sandbox

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"golang.org/x/text/encoding/simplifiedchinese"

	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/sandbox/cabinets"
	"jdpay-listener/internal/sandbox/jdserver"
)

// Sent is one message of the stream with its expected result.
type Sent struct {
	Story    string // its special case, in English: a text of package lang
	OrderNo  string
	Amount   string
	Body     string
	Expected string // outcome of settle
	Command  string // outcome of the cabinet command of a settled payment; empty: confirmed
	Waybill  string // outcome of JD's call; empty: updated
	Order    *Order // is added before the message; nil: none
	Late     *Order // is added a second after the message
	Twice    bool   // JD sends it twice
	JD       []jdserver.Reply
	Cabinet  [][]cabinets.Reply // to each command in turn; nil: it opens and confirms
}

// story changes an ordinary message into a special case.
type story struct {
	name string
	make func(o Order, s *Sent)
}

// stories are all special cases, each with its expected result.
var stories = []story{
	{lang.Mark("announced twice"), func(o Order, s *Sent) { s.Twice = true }},
	{lang.Mark("paid a second time"), func(o Order, s *Sent) { s.Order.PaidBy, s.Expected = "EARLIER", "paid_twice" }},
	{lang.Mark("wrong amount"), func(o Order, s *Sent) { s.Order.Amount, s.Expected = "99.00", "amount_mismatch" }},
	{lang.Mark("order never appears"), func(o Order, s *Sent) { s.Order, s.Expected = nil, "unknown_order" }},
	{lang.Mark("order appears a second later"), func(o Order, s *Sent) { s.Order, s.Late = nil, &o }},
	{lang.Mark("forged signature"), func(o Order, s *Sent) { s.Body, s.Expected = paymentOf(o).Message("guessed key"), "bad_signature" }},
	{lang.Mark("altered on the way"), func(o Order, s *Sent) {
		s.Body, s.Expected = strings.Replace(s.Body, "110000001", "110000009", 1), "bad_signature"
	}},
	{lang.Mark("not a message at all"), func(o Order, s *Sent) { s.Body, s.Expected = "<html>502 Bad Gateway</html> "+o.No(), "malformed" }},
	{lang.Mark("amount that is no money"), func(o Order, s *Sent) {
		p := paymentOf(o)
		p.PayAmount = "8.005"
		s.Body, s.Expected = p.Message(Md5Key), "malformed"
	}},
	{lang.Mark("refund instead of payment"), func(o Order, s *Sent) {
		p := paymentOf(o)
		p.PayStatus = "REFUND"
		s.Body, s.Expected = p.Message(Md5Key), "not_success"
	}},
	{lang.Mark("body in base64"), func(o Order, s *Sent) { s.Body = base64.StdEncoding.EncodeToString([]byte(s.Body)) }},
	{lang.Mark("payload in GBK"), func(o Order, s *Sent) { s.Body = inGBK(o) }},
	{lang.Mark("JD stumbles twice"), func(o Order, s *Sent) { s.JD = []jdserver.Reply{{HTTPStatus: 503}, {Close: true}} }},
	{lang.Mark("JD refuses"), func(o Order, s *Sent) {
		s.Waybill = "refused"
		s.JD = []jdserver.Reply{{HTTPStatus: 403, Body: `{"success":false,"code":"24","message":"no permission"}`}}
	}},
	{lang.Mark("no cell assigned"), func(o Order, s *Sent) { s.Order.Cell = "" }},
	{lang.Mark("cabinet misses the first command"), func(o Order, s *Sent) { s.Cabinet = [][]cabinets.Reply{{}, {opened}} }},
	{lang.Mark("cabinet refuses"), func(o Order, s *Sent) {
		s.Command, s.Cabinet = "refused", [][]cabinets.Reply{{{Code: "17", Text: "door is jammed", After: 40 * time.Millisecond}}}
	}},
	{lang.Mark("cabinet is busy first"), func(o Order, s *Sent) {
		s.Cabinet = [][]cabinets.Reply{{{Code: "BUSY", Text: "opening", After: 10 * time.Millisecond}, {Code: "0", Text: "ok", After: 300 * time.Millisecond}}}
	}},
	{lang.Mark("cabinet answers twice"), func(o Order, s *Sent) { s.Cabinet = [][]cabinets.Reply{{opened, opened}} }},
	{lang.Mark("cabinet never answers"), func(o Order, s *Sent) { s.Command, s.Cabinet = "expired", [][]cabinets.Reply{{}} }},
}

// opened is a cabinet's usual reply.
var opened = cabinets.Reply{Code: "0", Text: "ok", After: 30 * time.Millisecond}

// paymentOf is JD's ordinary notification for an order.
func paymentOf(o Order) Payment {
	payType := "WXPAY"
	if o.ID%3 == 0 {
		payType = "ALIPAY"
	}
	return Payment{
		OrderNo: o.No(), PayType: payType, PayAmount: o.Amount, PayTime: time.Now().In(time.FixedZone("CST", 8*3600)).Format(time.DateTime),
		ExternalID: "X" + o.No(), OrderType: "SEND", PayStatus: "FINISH",
	}
}

func inGBK(o Order) string {
	p := paymentOf(o)
	p.OrderType = "寄件"
	text, err := json.Marshal(p)
	if err == nil {
		text, err = simplifiedchinese.GBK.NewEncoder().Bytes(text)
	}
	if err != nil {
		panic(err) // a constant text
	}
	return message(Envelope(text, Md5Key))
}

// orderOf is the n-th order of the sandbox.
func orderOf(n int) Order {
	device, kind := fmt.Sprintf("CAB-%02d", n%7), 6
	if n%4 == 0 {
		device, kind = fmt.Sprintf("CLOUD-%02d", n%5), 2
	}
	return Order{
		ID: int64(1000 + n), Amount: fmt.Sprintf("%d.%02d", 8+n%20, (n*37)%100), Device: device, Type: kind, Cell: fmt.Sprintf("%c%02d", 'A'+n%6, 1+n%24),
	}
}

// Stream returns n messages: ordinary payments, and between them every story at least once where n allows.
func Stream(n int) []Sent {
	every := max(2, min(5, n/(len(stories)+1)))
	out := make([]Sent, n)
	next := 0
	for i := range out {
		o := orderOf(i)
		s := Sent{OrderNo: o.No(), Amount: o.Amount, Body: paymentOf(o).Message(Md5Key), Expected: "settled", Order: &o}
		if i%every == every-1 {
			st := stories[next%len(stories)]
			next++
			s.Story = st.name
			st.make(o, &s)
		}
		out[i] = s
	}
	return out
}

// Prepare adds the orders that must exist before their messages are sent, and prescribes the replies of cabinets and JD.
func (c *Company) Prepare(stream []Sent) error {
	for _, s := range stream {
		if s.Cabinet != nil {
			c.Cabinets.Script(fmt.Sprint("pay-complete-", s.Order.ID), s.Cabinet...)
		}
		if s.JD != nil {
			c.JD.ScriptWaybill(s.Order.Waybill(), s.JD...)
		}
		if s.Order != nil {
			if err := c.Add(*s.Order); err != nil {
				return err
			}
		}
	}
	return nil
}

// lateInterval is the time between a payment and its late order.
const lateInterval = time.Second

// Send puts one message into the notify queue, and adds its late order after lateInterval.
func (c *Company) Send(s Sent) {
	c.MNS.Put(NotifyQueue, s.Body)
	if s.Twice {
		c.MNS.Put(NotifyQueue, s.Body)
	}
	if s.Late != nil {
		time.AfterFunc(lateInterval, func() { _ = c.Add(*s.Late) }) // the sandbox may be gone by then
	}
}
