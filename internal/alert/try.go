package alert

import (
	"context"
	"fmt"
	"time"

	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/lang"
)

// Tried is what a receiver did with a test.
type Tried struct {
	Target string `json:"target"`
	OK     bool   `json:"ok"`
	Error  string `json:"error,omitempty"` // why not; it holds no address or secret
}

// TryReceivers sends a test of this instance to each receiver of alerts, and asks the heartbeat's address.
func TryReceivers(ctx context.Context, s Settings, instance string) (results []Tried) {
	sender := NewSender(s.Targets)
	defer sender.Close()
	add := func(target string, err error) {
		result := Tried{Target: target, OK: err == nil}
		if err != nil {
			result.Error = inspect.ErrorLine(err).String()
		}
		results = append(results, result)
	}
	n := newTest(s, instance)
	for _, t := range s.Targets {
		add(t.Name, sender.Send(ctx, t.Name, n, s.Zone))
	}
	if s.Heartbeat != "" {
		add("heartbeat", sender.Get(ctx, s.Heartbeat))
	}
	return results
}

// newTest returns a notice that asks whether its receivers take notices. It is a new one each time.
func newTest(s Settings, instance string) *Notice {
	now := time.Now()
	return &Notice{
		ID: fmt.Sprintf("alert:%s:%s:%d", Test, instance, now.UnixNano()), Status: Test, Cause: causeTest, Language: string(s.Language),
		Title: Title(causeTest).In(s.Language), Text: []string{lang.M("This receiver is told when payments need a person. Nothing is wrong now.").In(s.Language)},
		Commands: []string{"jdpay-listener doctor"}, Console: s.Console, Since: now, At: now, Instance: instance,
	}
}
