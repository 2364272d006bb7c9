package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/jdserver"
	"jdpay-listener/internal/sandbox/mnsserver"
	"jdpay-listener/internal/testenv"
)

// storm is a company in which everything breaks, in an order that a seed decides.
type storm struct {
	*site
	rand     *rand.Rand
	replicas []*process
	database *testenv.MySQL
	outages  map[string]outage // that have not ended yet
}

// outage is something that is down.
type outage struct {
	until time.Time
	end   func() error
}

// TestStorm lets everything break that can, again and again and on top of each other, while payments stream in: replicas
// are killed and frozen, the database, the broker and Redis die, JD and MNS answer with errors, late, or not at all.
// When it is over each payment has to be settled once, its cabinet to have confirmed, and every other effect be there.
//
// It lasts STORM (10s) and takes its seed from STORM_SEED.
func TestStorm(t *testing.T) {
	t.Parallel()
	lasts, seed := 10*time.Second, rand.Uint64()
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

	w := &storm{site: newSite(t, jdserver.Options{Latency: 20 * time.Millisecond}), rand: rand.New(rand.NewPCG(seed, 0)), outages: map[string]outage{}}
	var err error
	if w.database, err = testenv.StartMariaDB(); err != nil {
		t.Fatal(err)
	}
	defer w.database.Close()
	w.useDatabase(w.database)
	w.brokerFell = true // the confirmations prove that commands arrived
	w.extra = map[string]string{
		"Logging__LogLevel__Default": "Information", "SyncReply__QueueName": replyQueue, "Mqtt__RequireReply": "true", "Mqtt__ReplyTimeout": "1s",
		"JDApi__Timeout": "1s",
	}
	w.cabinet.mu.Lock()
	w.cabinet.onTo = w.confirm
	w.cabinet.mu.Unlock()

	const rate = 40 // payments/s
	stream := ordinary(int(lasts.Seconds() * rate))
	for _, m := range stream {
		if err := sandbox.AddOrders(w.db, *m.Order); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		w.replicas = append(w.replicas, w.start(fmt.Sprintf("Host__Instance=replica-%d", i)))
	}
	blow := time.NewTicker(400 * time.Millisecond)
	defer blow.Stop()
	pay := time.NewTicker(time.Second / rate)
	defer pay.Stop()
	for next := 0; next < len(stream); {
		select {
		case <-pay.C:
			w.mns.Put(notifyQueue, stream[next].Body)
			next++
		case <-blow.C:
			w.disaster()
			w.repair(time.Now())
		}
	}
	w.calm()
	calm := time.Now()
	if testenv.Poll(time.Minute+lasts, func() bool {
		return w.count("SELECT COUNT(DISTINCT ref) FROM jdpay_job WHERE kind = 'settle'") >= len(stream) && w.unfinished() == 0 && w.drained()
	}) {
		t.Logf("%d payments are done %s after the storm", len(stream), time.Since(calm).Round(time.Millisecond))
	} else {
		t.Errorf("%s after the storm not everything is done", time.Since(calm).Round(time.Second))
	}
	w.checkConserved(stream)
	if n := w.count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'pay-complete' AND state = 'done' AND outcome = 'confirmed'"); n != len(stream) {
		t.Errorf("%d of %d commands are confirmed", n, len(stream))
	}
	if n := w.count("SELECT COUNT(*) FROM jdpay_job WHERE state IN ('parked', 'rejected')"); n != 0 {
		t.Errorf("%d jobs are parked or rejected", n)
	}
	for _, p := range w.replicas {
		p.stop()
	}
}

// disaster strikes once.
func (w *storm) disaster() {
	some := func() int { return 1 + w.rand.IntN(20) }
	victim := w.replicas[w.rand.IntN(len(w.replicas))]
	switch w.rand.IntN(14) {
	case 0, 1, 2:
		victim.kill()
	case 3:
		w.outage("replica", func() { _ = victim.cmd.Process.Signal(syscall.SIGSTOP) }, func() error {
			_ = victim.cmd.Process.Signal(syscall.SIGCONT) // it may have been killed
			return nil
		})
	case 4:
		w.outage("database", w.database.Kill, w.database.Start)
	case 5:
		w.outage("broker", w.broker.Stop, func() error { w.broker.Start(w.t); return nil })
	case 6:
		w.outage("redis", w.redis.Stop, func() error { w.redis.Start(w.t); return nil })
	case 7:
		w.jd.ScriptNext(some(), jdserver.Reply{HTTPStatus: 503})
	case 8:
		w.jd.ScriptNext(some(), jdserver.Reply{Close: true})
	case 9:
		w.jd.ScriptNext(some(), jdserver.Reply{Hang: true})
	case 10:
		w.mns.Inject(mnsserver.Fault{Times: some(), Drop: []mnsserver.Drop{mnsserver.DropRequest, mnsserver.DropReply, mnsserver.DropMiddle}[w.rand.IntN(3)]})
	case 11:
		w.mns.Inject(mnsserver.Fault{Times: some(), Status: 502, Body: "<html>Bad Gateway</html>", ContentType: "text/html"})
	case 12:
		w.mns.Inject(mnsserver.Fault{Times: some(), Duplicate: true})
	case 13:
		w.mns.Inject(mnsserver.Throttled(some()))
	}
}

// outage begins one that lasts up to three seconds, unless the same thing is down already; meanwhile others strike.
func (w *storm) outage(what string, begin func(), end func() error) {
	if _, down := w.outages[what]; down {
		return
	}
	begin()
	w.outages[what] = outage{time.Now().Add(time.Duration(w.rand.IntN(3000)) * time.Millisecond), end}
}

// repair ends the outages whose time has come, and starts replicas that have ended, as systemd or Kubernetes would.
func (w *storm) repair(now time.Time) {
	for what, o := range w.outages {
		if now.Before(o.until) {
			continue
		}
		if err := o.end(); err != nil {
			w.t.Fatalf("the %s does not come back: %v", what, err)
		}
		delete(w.outages, what)
	}
	for i, p := range w.replicas {
		if p.ended() {
			w.replicas[i] = w.start(fmt.Sprintf("Host__Instance=replica-%d", i))
		}
	}
}

// calm ends everything; what was in somebody's hand comes again at once.
func (w *storm) calm() {
	w.mns.ClearFaults()
	w.jd.ClearScripts()
	w.repair(time.Now().Add(time.Hour))
	w.mns.ShiftClock(31 * time.Second)
}
