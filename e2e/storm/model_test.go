package storm

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/anishathalye/porcupine"
)

// what is a kind of event of an order.
type what int

const (
	notify    what = iota // a notification was put into the queue
	settle                // the transaction that marks the order paid: from the insertion of its steps to its last statement
	command               // a command reached the cabinet
	reply                 // the cabinet's confirmation was put into the queue
	confirm               // a kept reply concluded the command
	callJD                // a call reached JD
	acceptJD              // JD accepted the status
	updated               // the waybill-status job was concluded
	payInfo               // the pay info was written
	theEnd                // all jobs are finished
	whatCount             // the number of kinds
)

var whatNames = [whatCount]string{"notify", "settle", "command", "reply", "confirm", "call JD", "JD accepts", "updated", "pay info", "end"}

// facts are the events that have happened to an order.
type facts uint16

const (
	isNotified facts = 1 << iota
	isSettled
	isCommanded
	isReplied
	isConfirmed
	isTold
	isUpdated
	isWritten
	everything = 1<<iota - 1
)

// model defines when an event may happen: needs must have happened, never must not have happened, and gives has happened
// from then on. Commands, replies and calls are at-least-once. A command may also arrive after its confirmation, from a try
// that began before it or redelivered by the broker. No try may begin after the confirmation: the number of tries at the end
// must be that of the confirmation.
var model = [whatCount]struct{ needs, never, gives facts }{
	notify:   {0, 0, isNotified},
	settle:   {isNotified, isSettled, isSettled},
	command:  {isSettled, 0, isCommanded},
	reply:    {isCommanded, 0, isReplied},
	confirm:  {isReplied, isConfirmed, isConfirmed},
	callJD:   {isSettled, 0, 0},
	acceptJD: {isSettled, 0, isTold},
	updated:  {isTold, isUpdated, isUpdated},
	payInfo:  {isSettled, isWritten, isWritten},
	theEnd:   {everything, 0, 0},
}

// event is the model's input. The zero values of messageID and tries mean unknown.
type event struct {
	what      what
	messageID string // of commands and replies; an order has only one
	tries     int    // of the command, at its confirmation and at the end
}

// life is the model's state of an order.
type life struct {
	facts     facts
	messageID string
	tries     int
}

// step reports whether an event may happen, and returns the order's state after it.
func (l life) step(e event) (bool, life) {
	rule := model[e.what]
	ok := l.facts&rule.needs == rule.needs && l.facts&rule.never == 0 &&
		(l.messageID == "" || e.messageID == "" || l.messageID == e.messageID) && (l.tries == 0 || e.tries == 0 || l.tries == e.tries)
	return ok, life{l.facts | rule.gives, cmp.Or(l.messageID, e.messageID), cmp.Or(l.tries, e.tries)}
}

var orderModel = porcupine.Model{
	Init: func() any { return life{} },
	Step: func(state, input, _ any) (bool, any) { return state.(life).step(input.(event)) },
	DescribeOperation: func(input, _ any) string {
		e := input.(event)
		text := whatNames[e.what] + " " + e.messageID
		if e.tries > 0 {
			text += fmt.Sprint(e.tries, " tries")
		}
		return text
	},
	DescribeState: func(state any) string {
		l := state.(life)
		return fmt.Sprintf("%08b %s %d", l.facts, l.messageID, l.tries)
	},
}

// TestModelOfHistories: the model allows legal histories and refuses those that break one rule.
func TestModelOfHistories(t *testing.T) {
	t.Parallel()
	const id, other = "pay-complete-7", "pay-complete-8"
	at := func(begin, end int64, e event) porcupine.Operation {
		return porcupine.Operation{ClientId: int(e.what), Input: e, Call: begin, Return: end}
	}
	good := map[string]porcupine.Operation{
		"notify": at(0, 10, event{what: notify}), "settle": at(12, 15, event{what: settle}), "command": at(20, 20, event{what: command, messageID: id}),
		"reply": at(22, 24, event{what: reply, messageID: id}), "confirm": at(25, 30, event{what: confirm, tries: 2}),
		"call": at(20, 20, event{what: callJD}), "accept": at(20, 26, event{what: acceptJD}), "updated": at(15, 40, event{what: updated}),
		"pay info": at(15, 33, event{what: payInfo}), "end": at(100, 100, event{what: theEnd, tries: 2}),
	}
	type change = map[string]*porcupine.Operation // nil removes an event
	as := func(begin, end int64, e event) *porcupine.Operation { op := at(begin, end, e); return &op }
	for _, c := range []struct {
		name   string
		ok     bool
		change change
	}{
		{"ordinary", true, nil},
		{"a notification comes twice", true, change{"again": as(40, 41, event{what: notify})}},
		{"settled before the sender knows that the notification is there", true, change{"notify": as(0, 50, event{what: notify})}},
		{"a command is sent again before its confirmation", true, change{"again": as(24, 24, event{what: command, messageID: id})}},
		{"a try that began before the confirmation sends its command after it", true, change{"again": as(35, 35, event{what: command, messageID: id})}},
		{"a reply comes twice", true, change{"again": as(50, 51, event{what: reply, messageID: id})}},
		{"JD's reply is lost", true, change{"again": as(25, 25, event{what: callJD}), "and": as(25, 30, event{what: acceptJD})}},
		{"the log does not say how many tries there were", true, change{"confirm": as(25, 30, event{what: confirm})}},

		{"settled without a notification", false, change{"notify": nil}},
		{"settled before the notification", false, change{"notify": as(16, 17, event{what: notify})}},
		{"settled twice", false, change{"again": as(60, 61, event{what: settle})}},
		{"never settled", false, change{"settle": nil}},
		{"a command before the settlement", false, change{"again": as(11, 11, event{what: command, messageID: id})}},
		{"a command with another message id", false, change{"again": as(24, 24, event{what: command, messageID: other})}},
		{"never commanded", false, change{"command": nil}},
		{"a reply before the command", false, change{"reply": as(17, 18, event{what: reply, messageID: id})}},
		{"a reply to another command", false, change{"reply": as(22, 24, event{what: reply, messageID: other})}},
		{"confirmed without a reply", false, change{"reply": nil}},
		{"confirmed twice", false, change{"again": as(50, 51, event{what: confirm, tries: 2})}},
		{"never confirmed", false, change{"confirm": nil}},
		{"a try began after the confirmation", false, change{"end": as(100, 100, event{what: theEnd, tries: 3})}},
		{"JD is called before the settlement", false, change{"again": as(11, 11, event{what: callJD})}},
		{"concluded although JD never accepted", false, change{"accept": nil}},
		{"concluded before JD accepted", false, change{"updated": as(15, 18, event{what: updated})}},
		{"waybill-status is concluded twice", false, change{"again": as(50, 51, event{what: updated})}},
		{"waybill-status is never concluded", false, change{"updated": nil}},
		{"a pay info before the settlement", false, change{"pay info": as(0, 11, event{what: payInfo})}},
		{"no pay info", false, change{"pay info": nil}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHistory()
			ops := maps.Clone(good)
			for name, op := range c.change {
				delete(ops, name)
				if op != nil {
					ops[name] = *op
				}
			}
			h.orders["7"] = slices.Collect(maps.Values(ops))
			problems := h.check()
			if ok := len(problems) == 0; ok != c.ok {
				t.Errorf("the model allows it: %v, want %v: %v", ok, c.ok, problems)
			}
			for _, p := range problems {
				_, path, _ := strings.Cut(p, ", see ")
				if b, err := os.ReadFile(path); err != nil || !bytes.Contains(b, []byte("<html")) {
					t.Errorf("the picture: %v, %.80q", err, b)
				}
				os.Remove(path)
			}
		})
	}
}
