package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"net/url"
	"time"

	"jdpay-listener/internal/auditlog"
	"jdpay-listener/internal/check"
	"jdpay-listener/internal/config"
	"jdpay-listener/internal/daemon"
	"jdpay-listener/internal/inspect"
)

// noteTimeout bounds the note of what became of a message, also when the command is being interrupted.
const noteTimeout = 15 * time.Second

// allowed returns an error if the message would go to a real queue and neither flag nor configuration allows that.
func (s sending) allowed(c *config.Config, queue string) error {
	switch {
	case s.openDoor, onThisMachine(c.Mns.Endpoint):
		return nil
	case s.body != "": // what it pays is not known before it is verified, so no pattern speaks for it
		return fmt.Errorf("queue %s at %s is a real one, and this message may pay an order and open a door: nothing was sent; give --yes-open-a-door if it shall", queue, hostOf(c.Mns.Endpoint))
	case c.Payment.IsTestOrder(s.order):
		return nil
	}
	return fmt.Errorf("queue %s at %s is a real one: order %q would be paid and its door opened, so nothing was sent; use an order that Payment:TestOrders names, or give --yes-open-a-door",
		queue, hostOf(c.Mns.Endpoint), s.order)
}

func hostOf(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return endpoint
	}
	return u.Hostname()
}

// onThisMachine reports whether an endpoint is a stand-in on a loopback address. MNS itself never is.
func onThisMachine(endpoint string) bool { return check.IsLoopback(hostOf(endpoint)) }

// sendAsked is what jdpay_audit keeps of a message before it is sent. The text itself may hold what is nobody's business;
// its digest tells whether a kept message is this one.
type sendAsked struct {
	Queue  string `json:"queue"`
	Host   string `json:"host"`
	Amount string `json:"amount,omitempty"`
	Digest string `json:"sha256"`
	Marked bool   `json:"marked"` // the payload names the operator
	Door   bool   `json:"yes_open_a_door,omitempty"`
}

// sendEnded is what became of it.
type sendEnded struct {
	MessageID string `json:"message_id,omitempty"`
	Error     string `json:"error,omitempty"` // after an error of the network the message may be in the queue all the same
}

type sentMessage struct {
	id  string
	act int64
}

// put sends a message. A queue takes part in no transaction, so that it is about to be sent is written down before, and
// what became of it in a row of its own. Without the first row nothing is sent.
func (a *app) put(ctx context.Context, c *config.Config, name, body string, s sending, who auditlog.Operator) (sent sentMessage, err error) {
	queue, err := daemon.Queue(c, name)
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
		} else if in := inspect.Message(daemon.MessageRules(c), nil, body); in.Notification != nil {
			change.Refs = []string{in.Notification.OrderNo}
		}
		entries, err := auditlog.Do(ctx, db, who, func(*sql.Tx) ([]auditlog.Change, error) { return []auditlog.Change{change}, nil })
		if err != nil {
			return 0, advise(ctx, db, err)
		}
		return entries[0].ID, nil
	}
	digest := sha256.Sum256([]byte(body))
	asked := sendAsked{name, hostOf(c.Mns.Endpoint), s.amount, hex.EncodeToString(digest[:]), s.body == "", s.openDoor}
	if sent.act, err = write(ctx, auditlog.Change{Act: "send", Detail: asked}); err != nil {
		return sent, fmt.Errorf("nothing was sent, since it could not be written down who sends: %w", err)
	}
	id, sendErr := queue.Send(ctx, body)
	sent.id = id
	ended := auditlog.Change{Act: "sent", Detail: map[string]int64{"send": sent.act}, After: sendEnded{MessageID: id}}
	if sendErr != nil {
		ended.Act, ended.After = "send failed", sendEnded{Error: shorten(plain(sendErr.Error()), 500)}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout)
	defer cancel()
	if _, err := write(ctx, ended); err != nil && sendErr == nil {
		return sent, fmt.Errorf("message %s is in queue %s, and act %d of jdpay_audit says that it was to be sent; that it was could not be written down: %w", id, name, sent.act, err)
	}
	return sent, sendErr
}
