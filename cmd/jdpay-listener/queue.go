package main

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/message"
	"jdpay-listener/internal/mns"
	"jdpay-listener/internal/payment"
	"jdpay-listener/internal/setup"
)

func (a *app) queueCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "queue",
		Short:   "Look at a queue, or pause it",
		Example: "  jdpay-listener queue peek",
		Args:    noCommand,
		RunE: func(*cobra.Command, []string) error {
			return usageError{lang.Errorf("queue needs a command: queue peek, pause or resume")}
		},
	}
	cmd.AddCommand(a.queuePeekCommand(),
		a.pauseCommand(&cobra.Command{Use: "pause NAME", Short: "Receive nothing from a queue, in all replicas, for a time", Example: `  jdpay-listener queue pause JDPayNotify --for 30m --reason "the database is moved"`}, pausedQueue),
		a.resumeCommand(&cobra.Command{Use: "resume NAME", Short: "End the pause of a queue before its time", Example: "  jdpay-listener queue resume JDPayNotify"}, pausedQueue))
	return cmd
}

// maxPeek is how many messages MNS shows at most.
const maxPeek = 16

func (a *app) queuePeekCommand() *cobra.Command {
	var reply bool
	var name string
	limit := maxPeek
	cmd := &cobra.Command{
		Use:   "peek",
		Short: "Show the next messages of a queue without taking them",
		Long: `Shows the next messages of the notify queue, at most 16, without taking them: they stay visible, and the daemon receives
them as if nobody had looked. Each one's order and amount are shown, and whether the daemon would accept it and if not, why;
not its text, and no signature. MNS shows only messages that are visible: what was received a moment ago, or is delayed, is
counted only. An empty queue is no error.`,
		Example: `  jdpay-listener queue peek
  jdpay-listener queue peek --reply --limit 5 --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case limit < 1 || limit > maxPeek:
				return usageError{lang.Errorf("--limit is a number from 1 to %d: MNS shows no more", maxPeek)}
			case reply && name != "":
				return usageError{lang.Errorf("give --reply or --queue, not both")}
			}
			c, err := a.load()
			if err != nil {
				return err
			}
			if name == "" {
				name = c.JDPay.NotifyQueueName
			}
			if reply {
				if name = c.SyncReply.QueueName; name == "" {
					return lang.Errorf("there is no reply queue: SyncReply:QueueName is empty")
				}
			}
			found, err := peek(cmd.Context(), c, name, limit)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(found)
			}
			a.printPeeked(found, c.Payment.Location())
			return nil
		},
	}
	cmd.Flags().BoolVar(&reply, "reply", false, "look at SyncReply:QueueName")
	cmd.Flags().StringVar(&name, "queue", "", "look at this `QUEUE` (default JDPay:NotifyQueueName)")
	cmd.Flags().IntVar(&limit, "limit", maxPeek, "show at most this `NUMBER` of messages")
	return cmd
}

// peeked is what queue peek shows.
type peeked struct {
	Queue string `json:"queue"`
	// The numbers of messages are approximate, and the vendor may make them a constant 0.
	Active   int64           `json:"active"`
	Inactive int64           `json:"inactive"`
	Delayed  int64           `json:"delayed"`
	Messages []peekedMessage `json:"messages"`
}

type peekedMessage struct {
	ID         string    `json:"message_id"`
	EnqueuedAt time.Time `json:"enqueued_at"`
	Received   int       `json:"dequeue_count"`
	OrderNo    string    `json:"order_no,omitempty"`
	Amount     string    `json:"amount,omitempty"` // yuan
	ExternalID string    `json:"external_id,omitempty"`
	// ReplyTo, Device and Code are those of a cabinet's reply.
	ReplyTo  string       `json:"reply_to,omitempty"`
	Device   string       `json:"device_sn,omitempty"`
	Code     string       `json:"code,omitempty"`
	Accepted bool         `json:"accepted"`
	Problem  lang.Message `json:"problem,omitzero"` // why it would not be accepted
}

// peek looks at a queue and changes nothing.
func peek(ctx context.Context, c *config.Config, name string, limit int) (*peeked, error) {
	queue, err := setup.Queue(c, name)
	if err != nil {
		return nil, err
	}
	counts, err := queue.Attributes(ctx)
	if err != nil {
		return nil, err
	}
	messages, err := queue.Peek(ctx, limit)
	if err != nil && !errors.Is(err, mns.ErrEmpty) && len(messages) == 0 {
		return nil, err
	}
	rules := setup.MessageRules(c)
	var replies *payment.ReplyRules
	if name == c.SyncReply.QueueName {
		genuine, meaning := setup.ReplyRules(c)
		rules, replies = genuine, &meaning
	}
	found := &peeked{Queue: name, Active: counts.Active, Inactive: counts.Inactive, Delayed: counts.Delayed, Messages: []peekedMessage{}}
	for _, m := range messages {
		found.Messages = append(found.Messages, judge(m, rules, replies))
	}
	return found, nil
}

// judge decodes a message as the daemon would.
func judge(m mns.Message, rules message.Rules, replies *payment.ReplyRules) peekedMessage {
	in := inspect.Message(rules, replies, m.Body)
	p := peekedMessage{ID: m.ID, EnqueuedAt: m.EnqueuedAt, Received: m.DequeueCount, Accepted: in.Accepted && !m.Damaged, Problem: in.Problem}
	if m.Damaged {
		p.Problem = lang.M("its text does not fit the queue's checksum")
	}
	if in.Notification != nil {
		p.OrderNo, p.Amount, p.ExternalID = in.Notification.OrderNo, in.Amount, in.Notification.ExternalID
		return p
	}
	switch _, payload, err := message.ReadUnverified(m.Body, rules.BodyEncoding); {
	case err != nil:
	case payload.IsPayment(): // with an amount or a time that cannot be read
		p.OrderNo, p.ExternalID = message.Cut(payload.Get("orderNo"), 64), message.Cut(payload.Get("externalId"), 128)
	case replies != nil:
		p.ReplyTo, p.Device, p.Code = message.Cut(payload.Get(replies.MessageID), 64), message.Cut(payload.Get(replies.Device), 64), message.Cut(payload.Get(replies.Code), 64)
	}
	return p
}

func (a *app) printPeeked(found *peeked, zone *time.Location) {
	a.say(lang.M("queue %s: about %d visible, %d received and not deleted yet, %d delayed", found.Queue, found.Active, found.Inactive, found.Delayed))
	if len(found.Messages) == 0 {
		a.say(lang.M("no message is visible"))
		return
	}
	rows := [][]string{a.row(lang.M("MESSAGE"), lang.M("ENQUEUED"), lang.M("RECEIVED"), lang.M("ORDER"), lang.M("YUAN"), lang.M("VERDICT"))}
	for _, m := range found.Messages {
		at := "-"
		if !m.EnqueuedAt.IsZero() {
			at = m.EnqueuedAt.In(zone).Format(time.DateTime)
		}
		order := lang.Plain(cmp.Or(m.OrderNo, "-"))
		if m.ReplyTo != "" {
			order = lang.M("reply to %s of %s: %s", m.ReplyTo, cmp.Or(m.Device, "?"), m.Code)
		}
		verdict := lang.M("accepted")
		if !m.Accepted {
			verdict = lang.M("not accepted: %s", shorten(plain(m.Problem.In(a.lang)), tableWidth))
		}
		rows = append(rows, []string{m.ID, at, strconv.Itoa(m.Received), order.In(a.lang), cmp.Or(m.Amount, "-"), verdict.In(a.lang)})
	}
	a.table(rows, 0)
}
