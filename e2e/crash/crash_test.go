package crash

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"jdpay-listener/e2e/box"
	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/jdserver"
	"jdpay-listener/internal/testenv"
)

// crashPoints are the crash points in the order in which a payment reaches them: every boundary between two effects.
var crashPoints = []string{
	"received", "inserted", "kept", "deleted",
	"settle locked", "settle paid", "settle steps created", "settle concluded", "settle committed",
	"command sent", "JD told", "pay info written", "tried", "concluded", "claimed",
	"reply matched", "reply committed", "reply published",
}

// TestCrashPointsAreAllTested: crashPoints lists the crash points in the code.
func TestCrashPointsAreAllTested(t *testing.T) {
	inCode := map[string]bool{}
	err := filepath.WalkDir("../../internal", func(path string, _ os.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" {
			return err
		}
		b, err := os.ReadFile(path)
		for _, part := range strings.Split(string(b), `crash.At("`)[1:] {
			name, _, _ := strings.Cut(part, `"`)
			inCode[name] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range crashPoints {
		if !inCode[name] {
			t.Errorf("%q is not in the code", name)
		}
		delete(inCode, name)
	}
	for name := range inCode {
		t.Errorf("%q is not tested", name)
	}
}

// crashCompany returns a company whose cabinets reply, so that every crash point is reached.
func crashCompany(t *testing.T, binary string) *box.Company {
	t.Helper()
	s := box.New(t, jdserver.Options{})
	s.Binary = binary
	s.Extra = map[string]string{
		"SyncReply__QueueName": box.ReplyQueue, "Mqtt__RequireReply": "true", "Mqtt__ReplyTimeout": "2s", "Logging__LogLevel__Default": "Information",
		"Jobs__Retry__pay-complete__FirstWait": "200ms",
	}
	s.Cabinet.OnCommand(s.Confirm)
	return s
}

// crashRun sends payments through daemons that are killed at the given crash points, one after the other, and through one
// that is not. When all jobs have ended, at the latest after endTimeout, it returns what is wrong.
func crashRun(s *box.Company, endTimeout time.Duration, stream []sandbox.Sent, points ...string) (problems []string) {
	s.T.Helper()
	for _, m := range stream {
		if err := sandbox.AddOrders(s.DB, *m.Order); err != nil {
			s.T.Fatal(err)
		}
	}
	for i, point := range points {
		p := s.Start("CRASHPOINT=" + point)
		for n, m := range stream[i*len(stream)/(len(points)+1) : (i+1)*len(stream)/(len(points)+1)] {
			s.MNS.Put(box.NotifyQueue, m.Body)
			if n < maxCrashVisit { // one by one, so that each reaches the crash point separately
				testenv.Poll(time.Second, func() bool {
					return p.Ended() || s.Count("SELECT COUNT(*) FROM jdpay_job WHERE ref = ? AND outcome = 'settled'", m.Order.No()) > 0
				})
			}
		}
		if strings.HasPrefix(point, "claimed") { // a claim needs a due job
			s.MNS.Put(box.NotifyQueue, paymentWithoutOrder(s))
		}
		select {
		case <-p.Done:
		case <-time.After(30 * time.Second):
			return []string{fmt.Sprintf("the crash point %q was never reached:\n%s", point, p.Tail())}
		}
		if code := p.Cmd.ProcessState.ExitCode(); code != -1 {
			return []string{fmt.Sprintf("at the crash point %q the daemon was not killed, but exited with %d:\n%s", point, code, p.Tail())}
		}
		s.MNS.ShiftClock(31 * time.Second) // makes received messages visible again
	}
	p := s.Start()
	for _, m := range stream[len(points)*len(stream)/(len(points)+1):] {
		s.MNS.Put(box.NotifyQueue, m.Body)
	}
	testenv.Poll(endTimeout, func() bool {
		return s.Count("SELECT COUNT(DISTINCT ref) FROM jdpay_job WHERE kind = 'settle'") >= len(stream) && s.Unfinished() == 0 && s.Drained()
	})
	problems = s.Problems(stream)
	p.Stop()
	return problems
}

// paymentWithoutOrder returns a payment whose settle job is tried again and claimed, since its order does not exist.
func paymentWithoutOrder(s *box.Company) string {
	return sandbox.Payment{OrderNo: "R404", PayType: "WXPAY", PayAmount: "8.00", PayTime: box.PaidAt, PayStatus: "FINISH"}.Message(box.MD5Key)
}

// maxCrashVisit is the highest number of a visit to a crash point at which a process is killed.
const maxCrashVisit = 3

// crashVisit returns a crash point with the number of a visit up to maxVisit. Point claimed is certain to be reached only once.
func crashVisit(point string, maxVisit int) string {
	if point == "claimed" {
		maxVisit = 1
	}
	return fmt.Sprint(point, "#", 1+rand.IntN(maxVisit))
}

// TestCrashPoints kills the process at each crash point, and at random pairs of them, and restarts it: no payment is lost or
// settled twice.
func TestCrashPoints(t *testing.T) {
	t.Parallel()
	binary := box.CrashProgram(t)
	var cases [][]string
	for _, point := range crashPoints {
		cases = append(cases, []string{crashVisit(point, maxCrashVisit)})
	}
	for range 6 {
		cases = append(cases, []string{crashVisit(crashPoints[rand.IntN(len(crashPoints))], 1), crashVisit(crashPoints[rand.IntN(len(crashPoints))], 2)})
	}
	stream := box.Ordinary(24)
	slots := make(chan struct{}, 3) // each case has servers of its own
	for _, points := range cases {
		t.Run(strings.Join(points, ", then "), func(t *testing.T) {
			t.Parallel()
			slots <- struct{}{}
			defer func() { <-slots }()
			s := crashCompany(t, binary)
			for _, problem := range crashRun(s, 45*time.Second, stream, points...) {
				t.Error(problem)
			}
		})
	}
}

// breach edits the program's source so that a crash at the point loses something.
type breach struct {
	name, point string
	file        string
	edits       [][2]string // old and new text
}

var breaches = []breach{
	{
		"a message is deleted before it is kept", "received", "../../internal/mns/batch.go",
		[][2]string{{"\tcrash.At(\"received\")\n", "\tvar handles []string\n\tfor _, m := range messages {\n\t\thandles = append(handles, m.Handle)\n\t}\n\t_ = p.deleteBatch(handles)\n\tcrash.At(\"received\")\n"}},
	},
	{
		"steps are created after the order's transaction", "settle committed", "../../internal/payment/settle.go",
		[][2]string{
			{"\tvar steps []*job.Job\n", "\tvar steps []*job.Job\n\tvar late []job.New\n"},
			{"if steps, err = s.runner.InsertNew(ctx, tx, newSteps...); err != nil {", "if late = newSteps; false {"},
			{"\tcrash.At(\"settle committed\")\n", "\tcrash.At(\"settle committed\")\n\tif steps, err = s.runner.Insert(context.Background(), nil, late...); err != nil {\n\t\treturn err\n\t}\n"},
		},
	},
	{
		"a job is concluded before it is tried", "broken", "../../internal/job/run.go",
		[][2]string{{
			"\toutcome, err := r.try(ctx, k, j)\n",
			"\tif j.Kind == \"pay-info\" {\n\t\t_ = r.results.Do(context.Background(), Result{ID: j.ID, State: Done, Outcome: \"written\"})\n\t\tcrash.At(\"broken\")\n\t}\n\toutcome, err := r.try(ctx, k, j)\n",
		}},
	},
}

// TestBrokenBoundariesAreNoticed proves that TestCrashPoints can fail: with a breach, the same run finds a problem.
func TestBrokenBoundariesAreNoticed(t *testing.T) {
	t.Parallel()
	stream := box.Ordinary(6)
	for _, b := range breaches {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			s := crashCompany(t, box.EditedProgram(t, b.file, b.edits, "-tags=crashpoints"))
			problems := crashRun(s, 15*time.Second, stream, b.point)
			if len(problems) == 0 || strings.Contains(problems[0], "the crash point") {
				t.Errorf("the breach was not noticed: %v", problems)
			}
			t.Log(strings.Join(problems, "\n"))
		})
	}
}
