package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"net/url"
	"time"

	"jdpay-listener/internal/auditlog"
	"jdpay-listener/internal/check"
	"jdpay-listener/internal/config"
	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/setup"
)

// recordTimeout bounds recording the result of a send, also after the command was interrupted.
const recordTimeout = 15 * time.Second

// allowed returns an error if the message would go to a real queue and neither flag nor configuration allows that.
func (s sending) allowed(c *config.Config, queue string) error {
	switch {
	case s.openDoor, onThisMachine(c.Mns.Endpoint):
		return nil
	case s.body != "": // its order is not known before it is verified, so Payment:TestOrders cannot allow it
		return lang.Errorf("queue %s at %s is a real one, and this message may pay an order and open a door: nothing was sent; give --yes-open-a-door to allow that", queue, hostOf(c.Mns.Endpoint))
	case c.Payment.IsTestOrder(s.order):
		return nil
	}
	return lang.Errorf("queue %s at %s is a real one: order %q would be paid and its door opened, so nothing was sent; use an order that Payment:TestOrders names, or give --yes-open-a-door",
		queue, hostOf(c.Mns.Endpoint), s.order)
}

func hostOf(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return endpoint
	}
	return u.Hostname()
}

// onThisMachine reports whether an endpoint has a loopback address, which only a stand-in for MNS has.
func onThisMachine(endpoint string) bool { return check.IsLoopback(hostOf(endpoint)) }

// sendDetail is what jdpay_audit records about a message before it is sent. The text itself may be confidential; its digest
// identifies the kept message.
type sendDetail struct {
	Queue  string `json:"queue"`
	Host   string `json:"host"`
	Amount string `json:"amount,omitempty"`
	Digest string `json:"sha256"`
	Marked bool   `json:"marked"` // the payload names the sender
	Door   bool   `json:"yes_open_a_door,omitempty"`
}

// sendResult is what jdpay_audit records after sending.
type sendResult struct {
	MessageID string `json:"message_id,omitempty"`
	Error     string `json:"error,omitempty"` // after a network error the message may be in the queue nevertheless
}

type sentMessage struct {
	id  string
	act int64
}

// put sends a message. Since a queue takes part in no transaction, one row of jdpay_audit is written before sending and one
// with the result after it. If the first row cannot be written, nothing is sent.
func (a *app) put(ctx context.Context, c *config.Config, name, body string, s sending, who auditlog.Operator) (sent sentMessage, err error) {
	queue, err := setup.Queue(c, name)
	if err != nil {
		return sent, err
	}
	db, err := openAccount(c)
	if err != nil {
		return sent, err
	}
	defer db.Close()
	write := func(ctx context.Context, change auditlog.Change) (int64, error) {
		if s.order != "" {
			change.Refs = []string{s.order}
		} else if in := inspect.Message(setup.MessageRules(c), nil, body); in.Notification != nil {
			change.Refs = []string{in.Notification.OrderNo}
		}
		entries, err := auditlog.Do(ctx, db, who, func(*sql.Tx) ([]auditlog.Change, error) { return []auditlog.Change{change}, nil })
		if err != nil {
			return 0, a.advise(ctx, db, nil, err)
		}
		return entries[0].ID, nil
	}
	digest := sha256.Sum256([]byte(body))
	detail := sendDetail{name, hostOf(c.Mns.Endpoint), s.amount, hex.EncodeToString(digest[:]), s.body == "", s.openDoor}
	if sent.act, err = write(ctx, auditlog.Change{Act: "send", Detail: detail}); err != nil {
		return sent, lang.Errorf("nothing was sent, since the act could not be recorded in jdpay_audit: %s", err)
	}
	id, sendErr := queue.Send(ctx, body)
	sent.id = id
	result := auditlog.Change{Act: "sent", Detail: map[string]int64{"send": sent.act}, After: sendResult{MessageID: id}}
	if sendErr != nil {
		result.Act, result.After = "send failed", sendResult{Error: shorten(plain(sendErr.Error()), 500)}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if _, err := write(ctx, result); err != nil && sendErr == nil {
		return sent, lang.Errorf("message %s is in queue %s, and act %d of jdpay_audit records that it was to be sent, but the result could not be recorded: %s", id, name, sent.act, err)
	}
	return sent, sendErr
}
