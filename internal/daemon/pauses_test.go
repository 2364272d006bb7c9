package daemon

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"jdpay-listener/internal/auditlog"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/migrate"
	"jdpay-listener/internal/mns"
	"jdpay-listener/internal/replica"
	"jdpay-listener/internal/testenv"
)

// TestPauses: an operator's act reaches an instance by the acts that it reads, and so does its end.
func TestPauses(t *testing.T) {
	t.Parallel()
	server := testenv.MariaDB(t)
	db := server.Open(t, server.Create(t))
	if _, _, err := migrate.Up(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	d := &daemon{account: db, log: log, runner: job.NewRunner(job.NewMySQL(db), "a", job.Options{Log: log})}
	if err := job.Register(d.runner, "k", job.Kind{}, job.Policy{Concurrency: 1}, func(context.Context, *job.Job, job.Raw) (job.Outcome, error) { return "", nil }); err != nil {
		t.Fatal(err)
	}
	by := auditlog.Operator{Name: "anna", From: "here", Reason: "why"}
	expect := func(paused bool) {
		t.Helper()
		if err := d.acts(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := d.runner.Uses()[0].Paused; got != paused {
			t.Errorf("paused: %t", got)
		}
		wait, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if err := d.paused.wait(wait, "q"); errors.Is(err, context.DeadlineExceeded) != paused {
			t.Errorf("the queue: %v", err)
		}
	}
	kind, queue := replica.Pause{Kind: "k"}, replica.Pause{Queue: "q"}
	for _, p := range []replica.Pause{kind, queue} {
		if _, err := replica.Begin(t.Context(), db, by, p, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	expect(true) // also of an instance that starts now
	for _, p := range []replica.Pause{kind, queue} {
		if ended, err := replica.End(t.Context(), db, by, p); !ended || err != nil {
			t.Fatal(ended, err)
		}
	}
	expect(false)
	for _, p := range []replica.Pause{kind, queue} {
		if _, err := replica.Begin(t.Context(), db, by, p, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	expect(true)
	if _, err := replica.Begin(t.Context(), db, by, queue, time.Microsecond); err != nil {
		t.Fatal(err)
	}
	if _, err := replica.Begin(t.Context(), db, by, kind, time.Microsecond); err != nil {
		t.Fatal(err)
	}
	expect(false)
	if list, err := auditlog.After(t.Context(), db, 0); err != nil || len(list) != 8 || list[0].Act != "pause" || list[2].Act != "resume" {
		t.Errorf("%v: %+v", err, list)
	}
	if ended, err := replica.End(t.Context(), db, by, kind); ended || err != nil {
		t.Error("there is none to end", err)
	}
}

// TestQueuePauseIsTold: people are told once that messages waited for the end of a queue's pause, and not if an operator ended it.
func TestQueuePauseIsTold(t *testing.T) {
	now := time.Now()
	old, young := []mns.Message{{EnqueuedAt: now.Add(-time.Minute)}}, []mns.Message{{EnqueuedAt: now}}
	p := pauses{queues: map[string]time.Time{"over": now.Add(-time.Second), "quiet": now.Add(-time.Second), "paused": now.Add(time.Hour), "resumed": now.Add(-time.Second)}}
	p.tell("resumed", p.queues["resumed"])
	for _, step := range []struct {
		queue    string
		received []mns.Message
		want     bool
	}{
		{"over", nil, false},
		{"over", old, true},
		{"over", old, false},
		{"quiet", young, false},
		{"quiet", old, false}, // it waited elsewhere
		{"paused", old, false},
		{"resumed", old, false},
		{"never", old, false},
	} {
		if got := p.waited(step.queue, step.received); got != step.want {
			t.Errorf("%s, %d messages: %v, want %v", step.queue, len(step.received), got, step.want)
		}
	}
}
