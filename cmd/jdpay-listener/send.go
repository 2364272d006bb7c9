package main

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/message"
	"jdpay-listener/internal/printable"
	"jdpay-listener/internal/setup"
)

// sending has the flags of send.
type sending struct {
	order, amount, payType, payTime, externalID string
	fields                                      []string
	queue, body                                 string
	dryRun, openDoor                            bool
	by                                          operator
}

func (a *app) sendCommand() *cobra.Command {
	var s sending
	cmd := &cobra.Command{
		Use:   "send",
		Short: "Put a signed test notification on the notify queue",
		Long: `Makes a notification of a payment as JD would send it, signs it with the configured profile and the first key, and puts it
on the notify queue. The daemon handles it like a real one: the order is marked paid, and the cabinet opens. So a queue
that is not on this machine needs --yes-open-a-door, or an order that Payment:TestOrders names. The payload names the
sender (sentBy), and table jdpay_audit records it. --dry-run prints the message and sends nothing; it needs no network.`,
		Example: `  jdpay-listener send --order R20261120001 --amount 8.00 --dry-run | jdpay-listener verify
  jdpay-listener send --order TEST-1 --amount 8.00 --reason "new cabinet"
  jdpay-listener send --body message.json --yes-open-a-door --reason "JD cannot send it again"`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.check(); err != nil {
				return usageError{err}
			}
			who, err := s.by.who(cmd)
			if err != nil {
				return usageError{err}
			}
			c, err := a.load()
			if s.dryRun {
				c, err = a.loadSections("JDPay", "SyncReply", "Payment")
			}
			if err != nil {
				return err
			}
			if err := s.checkAmount(c); err != nil {
				return usageError{err}
			}
			body, err := a.message(c, s, who.Name)
			if err != nil {
				return err
			}
			if s.dryRun {
				a.printBody(body)
				return nil
			}
			name := cmp.Or(s.queue, c.JDPay.NotifyQueueName)
			if err := s.allowed(c, name); err != nil {
				return err
			}
			sent, err := a.put(cmd.Context(), c, name, body, s, who)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(map[string]any{"message_id": sent.id, "queue": name, "order_no": s.order, "audit_id": sent.act})
			}
			a.say(lang.M("message %s is in queue %s", sent.id, name))
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&s.order, "order", "", "`ORDER_NO` that is paid")
	f.StringVar(&s.amount, "amount", "", "`AMOUNT` that is paid, in the unit of Payment:AmountUnit")
	f.StringVar(&s.payType, "pay-type", "WXPAY", "JD's pay `TYPE`")
	f.StringVar(&s.payTime, "pay-time", "", "`TIME` of the payment (default now)")
	f.StringVar(&s.externalID, "external-id", "", "JD's trade `NUMBER` (default made up)")
	f.StringArrayVar(&s.fields, "field", nil, "another field of the payload as `NAME=VALUE`, repeatable")
	f.StringVar(&s.queue, "queue", "", "`QUEUE` to put it on (default JDPay:NotifyQueueName)")
	f.StringVar(&s.body, "body", "", "send the content of this `FILE` (- for standard input) as it is instead")
	f.BoolVar(&s.dryRun, "dry-run", false, "print the message and send nothing")
	f.BoolVar(&s.openDoor, "yes-open-a-door", false, "send it to a real queue, although Payment:TestOrders does not name the order")
	s.by.flags(cmd)
	return cmd
}

// printBody prints a message for verify. Escaped characters do not change the meaning of JSON.
func (a *app) printBody(body string) {
	var compact bytes.Buffer
	if json.Compact(&compact, []byte(body)) != nil {
		a.printLine("%s", strings.TrimSpace(body))
		return
	}
	fmt.Fprintln(printable.Lines{W: a.stdout}, compact.String())
}

func (s sending) check() error {
	switch {
	case s.body != "" && (s.order+s.amount+s.payTime+s.externalID != "" || len(s.fields) > 0):
		return lang.Errorf("--body is a whole message: leave --order, --amount, --pay-time, --external-id and --field out")
	case s.body == "" && (s.order == "" || s.amount == ""):
		return lang.Errorf("give --order and --amount, or --body")
	}
	for _, field := range s.fields {
		switch name, _, ok := strings.Cut(field, "="); {
		case !ok || name == "":
			return lang.Errorf("--field %q is not NAME=VALUE", field)
		case strings.EqualFold(strings.TrimSpace(name), "orderNo"):
			return lang.Errorf("the order is named by --order, not by --field")
		case strings.EqualFold(strings.TrimSpace(name), "payAmount"):
			return lang.Errorf("the amount is given by --amount, not by --field")
		case strings.EqualFold(strings.TrimSpace(name), message.SentBy):
			return lang.Errorf("field %s is set by the program", message.SentBy)
		}
	}
	return nil
}

// checkAmount returns an error for an amount that the daemon would refuse as malformed.
func (s sending) checkAmount(c *config.Config) error {
	if s.body != "" {
		return nil
	}
	unit, parse, example := "yuan", message.ParseYuan, "8.00"
	if c.Payment.AmountUnit == "fen" {
		unit, parse, example = "fen", message.ParseFen, "800"
	}
	if _, err := parse(s.amount); err != nil {
		return lang.Errorf("--amount: %q is no amount in %s (Payment:AmountUnit), such as %s", s.amount, unit, example)
	}
	return nil
}

// message returns the body to send. The sender's name is in the payload, which every profile signs.
func (a *app) message(c *config.Config, s sending, who string) (string, error) {
	if s.body != "" {
		return a.input([]string{s.body})
	}
	now := time.Now().In(c.Payment.Location())
	payload := map[string]string{
		"orderNo": s.order, "payType": s.payType, "payAmount": s.amount, "payTime": cmp.Or(s.payTime, now.Format(time.DateTime)),
		"externalId": cmp.Or(s.externalID, "TEST"+rand.Text()),
	}
	if c.Payment.StatusField != "" {
		payload[c.Payment.StatusField] = c.Payment.SuccessStatuses[0]
	}
	for _, field := range s.fields {
		name, value, _ := strings.Cut(field, "=")
		payload[name] = value
	}
	payload[message.SentBy] = "jdpay-listener send: " + who
	text, err := json.Marshal(payload)
	if err != nil {
		return "", err
	}
	env := message.Envelope{Data: base64.StdEncoding.EncodeToString(text)}
	env.Fields = []message.Field{{Name: "timestamp", Value: strconv.FormatInt(now.UnixMilli(), 10)}, {Name: "data", Value: env.Data}}
	body := map[string]string{"sign": setup.SignProfile(c).Sign(env, c.JDPay.Md5Key[0].Reveal())}
	for _, f := range env.Fields {
		body[f.Name] = f.Value
	}
	whole, err := json.Marshal(body)
	if message.BodyEncoding(c.JDPay.BodyEncoding) == message.BodyBase64 {
		return base64.StdEncoding.EncodeToString(whole), err // the daemon then accepts no other encoding
	}
	return string(whole), err
}
