package storm

import (
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"jdpay-listener/e2e/box"
	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/jdserver"
	"jdpay-listener/internal/sandbox/mnsserver"
	"jdpay-listener/internal/testenv"
)

// storm is a company in which everything fails at times, in an order that a seed decides.
type storm struct {
	*box.Company
	rand     *rand.Rand
	replicas []*box.Process
	started  []*box.Process // all that ever ran
	database *testenv.MySQL
	outages  map[string]outage // that have not ended
	history  *history
	reserved []sandbox.Sent // payments for situations; each is sent once
	bursts   []sandbox.Sent // payments for bursts
	sent     []sandbox.Sent // all payments so far

	mu      sync.Mutex
	instead map[string]func() // called for a command in place of confirming it, by the order's id
}

const (
	stormBurst     = 20 // payments
	maxStormBursts = 10
)

// outage is something that is down.
type outage struct {
	until time.Time
	end   func() error
}

// TestStorm causes all kinds of failures, repeatedly and at the same time, while payments arrive: replicas are killed and
// frozen; the database, the broker and Redis are killed; JD and MNS reply with errors, late, or not at all. In between it
// causes each of the situations. At the end each payment must be settled once, confirmed by its cabinet, and have every other
// effect; the model must allow the history of each order; and each situation must have occurred.
//
// It lasts STORM (40s, ten minutes in make soak), but at least until each situation was tried, and takes its seed from STORM_SEED.
func TestStorm(t *testing.T) {
	t.Parallel()
	lasts, seed := box.Pick(40*time.Second, 10*time.Minute), rand.Uint64()
	if text := os.Getenv("STORM"); text != "" {
		var err error
		if lasts, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	if text := os.Getenv("STORM_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("STORM_SEED=%d", seed)

	w := newStorm(t, seed)
	const rate = 20 // payments/s
	all := box.Ordinary(maxStormBursts*stormBurst + int(lasts.Seconds()*rate) + 100 + 10*int(lasts.Seconds()))
	w.bursts, all = all[:maxStormBursts*stormBurst], all[maxStormBursts*stormBurst:]
	stream := all[:int(lasts.Seconds()*rate)]
	w.reserved = all[len(stream):]
	for _, m := range slices.Concat(w.bursts, stream) {
		if err := sandbox.AddOrders(w.DB, *m.Order); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		w.launch(i)
	}
	var paying sync.WaitGroup
	paying.Go(func() {
		pay := time.NewTicker(time.Second / rate)
		defer pay.Stop()
		for _, m := range stream {
			<-pay.C
			w.pay(m)
		}
	})
	begin := time.Now()
	reached, tries := make([]int, len(situations)), make([]int, len(situations))
	for i := 0; i < len(situations) || time.Since(begin) < lasts; i++ {
		w.strike(1 + w.rand.IntN(5))
		n := i % len(situations)
		was, tried := w.reach(situations[n])
		if tries[n] += tried; was {
			reached[n]++
		}
	}
	paying.Wait()
	w.sent = append(w.sent, stream...)
	w.endAll()
	calm := time.Now()
	if testenv.Poll(2*time.Minute+lasts, func() bool {
		return w.Count("SELECT COUNT(DISTINCT ref) FROM jdpay_job WHERE kind = 'settle'") >= len(w.sent) && w.Unfinished() == 0 && w.Drained()
	}) {
		t.Logf("%d payments are done %s after a storm of %s", len(w.sent), time.Since(calm).Round(time.Millisecond), calm.Sub(begin).Round(time.Second))
	} else {
		t.Errorf("%s after the storm there are unfinished jobs", time.Since(calm).Round(time.Second))
	}
	for _, p := range w.replicas {
		p.Stop()
	}
	w.checkEnd()
	w.checkHistory()
	for i, s := range situations {
		t.Logf("reached %3d times in %3d tries: %s", reached[i], tries[i], s.name)
		if reached[i] == 0 {
			t.Errorf("the storm did not reach: %s", s.name)
		}
	}
}

// newStorm builds the company. Its daemons use an ordinary database user: read_only does not apply to root.
func newStorm(t *testing.T, seed uint64) *storm {
	t.Helper()
	w := &storm{
		Company: box.New(t, jdserver.Options{Latency: 20 * time.Millisecond}), rand: rand.New(rand.NewPCG(seed, 0)),
		outages: map[string]outage{}, history: newHistory(), instead: map[string]func(){},
	}
	var err error
	if w.database, err = testenv.StartMariaDB(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.database.Close)
	w.UseDatabase(w.database)
	for _, stmt := range []string{
		"CREATE TABLE storm_weight (n INT)",
	} {
		if _, err := w.DB.Exec(stmt); err != nil {
			t.Fatal(err)
		}
	}
	jd := httptest.NewServer(w.history.watchJD(w.JD))
	t.Cleanup(jd.Close)
	w.JDURL = jd.URL
	w.BrokerFell = true // the confirmations prove that commands arrived
	dsn := box.Connection("jdpay", w.database.Host, w.database.Port, w.Schema)
	w.Extra = map[string]string{
		"ConnectionStrings__Account": dsn, "ConnectionStrings__Main": dsn,
		"SyncReply__QueueName": box.ReplyQueue, "Mqtt__RequireReply": "true", "Mqtt__ReplyTimeout": "1s", "JDApi__Timeout": "1s",
	}
	w.Cabinet.OnCommand(w.behave)
	return w
}

func (w *storm) launch(i int) {
	p := w.Start(fmt.Sprintf("Host__Instance=replica-%d", i))
	w.started = append(w.started, p)
	if i == len(w.replicas) {
		w.replicas = append(w.replicas, p)
	}
	w.replicas[i] = p
}

// pay puts a payment's notification into the queue.
func (w *storm) pay(m sandbox.Sent) {
	begin := time.Now()
	w.MNS.Put(box.NotifyQueue, m.Body)
	w.history.add(fmt.Sprint(m.Order.ID), begin, time.Now(), event{what: notify})
}

// behave confirms a command as its cabinet does, unless a situation suppresses that.
func (w *storm) behave(r box.Received) {
	order := fmt.Sprint(r.Payload["PostOrderId"])
	w.history.add(order, r.At, r.At, event{what: command, messageID: fmt.Sprint(r.Payload["MessageId"])})
	w.mu.Lock()
	instead := w.instead[order]
	w.mu.Unlock()
	if instead != nil {
		instead()
		return
	}
	w.confirms(r)
}

// confirms puts a cabinet's confirmation of a command into the queue.
func (w *storm) confirms(r box.Received) {
	begin := time.Now()
	w.Reply(r, "0", "ok")
	w.history.add(fmt.Sprint(r.Payload["PostOrderId"]), begin, time.Now(), event{what: reply, messageID: fmt.Sprint(r.Payload["MessageId"])})
}

// strike causes n failures.
func (w *storm) strike(n int) {
	tick := time.NewTicker(400 * time.Millisecond)
	defer tick.Stop()
	for range n {
		<-tick.C
		w.fail()
		w.repair(time.Now())
	}
}

// checkEnd checks the tables for lost and doubled effects.
func (w *storm) checkEnd() {
	w.T.Helper()
	w.CheckSettledOnce(w.sent)
	if n := w.Count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'pay-complete' AND state = 'done' AND outcome = 'confirmed'"); n != len(w.sent) {
		w.T.Errorf("%d of %d commands are confirmed", n, len(w.sent))
	}
	for _, job := range w.Strings("SELECT CONCAT_WS(' ', unique_key, ref, state, outcome, last_error) FROM jdpay_job WHERE state IN ('parked', 'rejected') LIMIT 10") {
		w.T.Errorf("a job is parked or rejected: %s", job)
	}
}

// checkHistory checks that the model allows the history of each order.
func (w *storm) checkHistory() {
	w.T.Helper()
	begin := time.Now()
	if err := w.history.readDatabase(w.DB); err != nil {
		w.T.Fatal(err)
	}
	w.history.readLogs(w.started)
	problems := w.history.check()
	for _, p := range problems {
		w.T.Error(p)
	}
	events, lives := 0, 0
	for _, m := range w.sent {
		ops := w.history.orders[fmt.Sprint(m.Order.ID)]
		events += len(ops)
		for _, op := range ops {
			if e := op.Input.(event); e.what == confirm && e.tries > 0 {
				lives++
			}
		}
	}
	w.T.Logf("%d events of %d orders checked in %s, %d with the tries of their confirmation: %d illegal",
		events, len(w.history.orders), time.Since(begin).Round(time.Millisecond), lives, len(problems))
}

// fail causes one failure.
func (w *storm) fail() {
	some := func() int { return 1 + w.rand.IntN(20) }
	victim := w.replicas[w.rand.IntN(len(w.replicas))]
	switch w.rand.IntN(16) {
	case 0, 1, 2:
		victim.Kill()
	case 3:
		w.outage("replica", func() { _ = victim.Cmd.Process.Signal(syscall.SIGSTOP) }, func() error {
			_ = victim.Cmd.Process.Signal(syscall.SIGCONT) // it may have been killed
			return nil
		})
	case 4:
		w.outage("database", w.database.Kill, w.database.Start)
	case 5:
		w.outage("broker", w.Broker.Stop, func() error { w.Broker.Start(w.T); return nil })
	case 6:
		w.outage("redis", w.Redis.Stop, func() error { w.Redis.Start(w.T); return nil })
	case 7:
		w.JD.ScriptNext(some(), jdserver.Reply{HTTPStatus: 503})
	case 8:
		w.JD.ScriptNext(some(), jdserver.Reply{Close: true})
	case 9:
		w.JD.ScriptNext(some(), jdserver.Reply{Hang: true})
	case 10:
		w.MNS.Inject(mnsserver.Fault{Times: some(), Drop: []mnsserver.Drop{mnsserver.DropRequest, mnsserver.DropReply, mnsserver.DropMiddle}[w.rand.IntN(3)]})
	case 11:
		w.MNS.Inject(mnsserver.Fault{Times: some(), Status: 502, Body: "<html>Bad Gateway</html>", ContentType: "text/html"})
	case 12:
		w.MNS.Inject(mnsserver.Fault{Times: some(), Duplicate: true})
	case 13:
		w.MNS.Inject(mnsserver.Throttled(some()))
	case 14, 15:
		w.burst()
	}
}

// burst puts many messages into the queue at once, each of which several replicas receive at the same moment, so that their
// insertions meet each other's rows.
func (w *storm) burst() {
	w.MNS.Inject(mnsserver.Fault{Op: mnsserver.BatchReceiveMessage, Queue: box.NotifyQueue, Times: 4, Duplicate: true})
	n := min(stormBurst, len(w.bursts))
	for _, m := range w.bursts[:n] {
		w.pay(m)
	}
	w.sent, w.bursts = append(w.sent, w.bursts[:n]...), w.bursts[n:]
}

// outage begins an outage of up to three seconds, unless the same part is down already. It does not wait for its end.
func (w *storm) outage(what string, begin func(), end func() error) {
	if _, down := w.outages[what]; down {
		return
	}
	begin()
	w.outages[what] = outage{time.Now().Add(time.Duration(w.rand.IntN(3000)) * time.Millisecond), end}
}

// repair ends the outages that are over, and starts replicas that have ended, as systemd or Kubernetes does.
func (w *storm) repair(now time.Time) {
	for what, o := range w.outages {
		if now.Before(o.until) {
			continue
		}
		if err := o.end(); err != nil {
			w.T.Fatalf("the %s does not come back: %v", what, err)
		}
		delete(w.outages, what)
	}
	for i, p := range w.replicas {
		if p.Ended() {
			w.launch(i)
		}
	}
}

// endAll ends all failures and makes received messages visible again.
func (w *storm) endAll() {
	w.MNS.ClearFaults()
	w.JD.ClearScripts()
	w.repair(time.Now().Add(time.Hour))
	w.MNS.ShiftClock(31 * time.Second)
}
