package payment

import (
	"errors"
	"sync"
	"testing"
	"time"

	"jdpay-listener/internal/device"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/testenv"
)

// told is the jobs of which StepHandlers reported that the broker has their commands.
type told struct {
	mu   sync.Mutex
	jobs []job.Job
}

func (c *told) add(j *job.Job) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.jobs = append(c.jobs, *j)
}

func (c *told) all() []job.Job {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]job.Job(nil), c.jobs...)
}

// TestToldWhateverTheTry requires the command of a payment that waited in the queue, and of which two tries failed, to be
// reported with the time at which its message was put into the queue.
func TestToldWhateverTheTry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var reported told
	w.steps.Report.Told = reported.add
	tries := 0
	w.cabinets.publish = func(device.Command) error {
		if tries++; tries <= 2 {
			return errors.New("no acknowledgement")
		}
		return nil
	}
	w.order(1, "8.00")
	w.serve()
	enqueued := testenv.Now().Add(-95 * time.Second).UTC().Truncate(time.Microsecond)
	w.keepMessages(Message{ID: "M1", Body: pay("R1", "8.00"), Enqueued: enqueued})
	w.eventually("the command is sent", func() bool { return w.stepState(KindPayComplete, 1) == "done sent" })
	jobs := reported.all()
	if len(jobs) != 1 || jobs[0].Tries != 3 || !jobs[0].Enqueued.Equal(enqueued) {
		t.Fatalf("reported %+v, want the third try, with its message's time %s", jobs, enqueued)
	}
	if waited := jobs[0].Now().Sub(enqueued); waited < 95*time.Second || waited > 3*time.Minute {
		t.Errorf("from the queue to the acknowledgement %s", waited)
	}
}

// TestToldOnceWhenNoReplyComes requires a command that is sent again for want of a reply to be reported once.
func TestToldOnceWhenNoReplyComes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, requireReply, func(w *world) { w.steps.ReplyTimeout = 100 * time.Millisecond })
	var reported told
	w.steps.Report.Told = reported.add
	w.order(1, "8.00")
	w.serve()
	w.keep(pay("R1", "8.00"))
	w.eventually("it is sent three times", func() bool { return len(w.cabinets.commands()) >= 3 })
	if jobs := reported.all(); len(jobs) != 1 {
		t.Errorf("reported %d times: %+v", len(jobs), jobs)
	}
}

// TestConfirmedCommandKnowsItsAge requires the report on a command that a reply finished to have the time of the reply: it
// was made without a time at which an instance took the job, and lay centuries away.
func TestConfirmedCommandKnowsItsAge(t *testing.T) {
	t.Parallel()
	w := newWorld(t, requireReply)
	w.serve()
	w.waiting(1)
	w.keepReply(replyOf("pay-complete-1", "0"))
	w.eventually("the command is confirmed", func() bool { return w.ended.count(KindPayComplete, job.Done, Confirmed) > 0 })
	w.ended.mu.Lock()
	defer w.ended.mu.Unlock()
	for _, e := range w.ended.ends {
		if e.Kind == KindPayComplete && e.Outcome == Confirmed {
			if e.Elapsed() <= 0 || e.Elapsed() > time.Minute || testenv.Now().Sub(e.Now()).Abs() > time.Minute {
				t.Errorf("the command is %s old, at %s", e.Elapsed(), e.Now())
			}
		}
	}
}
