package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

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

var crashBuild = sync.OnceValues(func() (string, error) { return build("-tags=crashpoints") })

// crashSite returns a site whose cabinets reply, so that every crash point is reached.
func crashSite(t *testing.T, binary string) *site {
	t.Helper()
	s := newSite(t, jdserver.Options{})
	s.binary = binary
	s.extra = map[string]string{
		"SyncReply__QueueName": replyQueue, "Mqtt__RequireReply": "true", "Mqtt__ReplyTimeout": "2s", "Logging__LogLevel__Default": "Information",
		"Jobs__Retry__pay-complete__FirstWait": "200ms",
	}
	s.cabinet.mu.Lock()
	s.cabinet.onCommand = s.confirm
	s.cabinet.mu.Unlock()
	return s
}

// confirm replies to a command as a cabinet that opened.
func (s *site) confirm(r received) { s.reply(r, "0", "ok") }

// reply puts a cabinet's signed reply to a command into the reply queue.
func (s *site) reply(command received, code, text string) {
	s.mns.Put(replyQueue, replyBody(command, code, text))
}

func replyBody(command received, code, text string) string {
	payload, err := json.Marshal(map[string]any{"messageId": command.Payload["MessageId"], "deviceSn": command.Payload["DeviceGroupSN"], "code": code, "message": text})
	if err != nil {
		panic(err) // texts only
	}
	envelope, err := json.Marshal(sandbox.Envelope(payload, md5Key))
	if err != nil {
		panic(err)
	}
	return string(envelope)
}

// crashRun sends payments through daemons that are killed at the given crash points, one after the other, and through one
// that is not, and returns what is wrong at the end.
func (s *site) crashRun(stream []sandbox.Sent, points ...string) (problems []string) {
	s.t.Helper()
	for _, m := range stream {
		if err := sandbox.AddOrders(s.db, *m.Order); err != nil {
			s.t.Fatal(err)
		}
	}
	for i, point := range points {
		p := s.start("CRASHPOINT=" + point)
		for n, m := range stream[i*len(stream)/(len(points)+1) : (i+1)*len(stream)/(len(points)+1)] {
			s.mns.Put(notifyQueue, m.Body)
			if n < maxCrashVisit { // one by one, so that each reaches the crash point separately
				testenv.Poll(time.Second, func() bool {
					return p.ended() || s.count("SELECT COUNT(*) FROM jdpay_job WHERE ref = ? AND outcome = 'settled'", m.Order.No()) > 0
				})
			}
		}
		if strings.HasPrefix(point, "claimed") { // a claim needs a due job
			s.mns.Put(notifyQueue, s.paymentWithoutOrder())
		}
		select {
		case <-p.done:
		case <-time.After(30 * time.Second):
			return []string{fmt.Sprintf("the crash point %q was never reached:\n%s", point, p.tail())}
		}
		if code := p.cmd.ProcessState.ExitCode(); code != -1 {
			return []string{fmt.Sprintf("at the crash point %q the daemon was not killed, but exited with %d:\n%s", point, code, p.tail())}
		}
		s.mns.ShiftClock(31 * time.Second) // makes received messages visible again
	}
	p := s.start()
	for _, m := range stream[len(points)*len(stream)/(len(points)+1):] {
		s.mns.Put(notifyQueue, m.Body)
	}
	testenv.Poll(s.endTimeout, func() bool {
		return s.count("SELECT COUNT(DISTINCT ref) FROM jdpay_job WHERE kind = 'settle'") >= len(stream) && s.unfinished() == 0 && s.drained()
	})
	problems = s.problems(stream)
	p.stop()
	return problems
}

// drained reports whether the queues are empty.
func (s *site) drained() bool {
	for _, q := range []string{notifyQueue, replyQueue} {
		if st := s.mns.Stats(q); st.Active+st.Inactive > 0 {
			return false
		}
	}
	return true
}

// paymentWithoutOrder returns a payment whose settle job is tried again and claimed, since its order does not exist.
func (s *site) paymentWithoutOrder() string {
	return sandbox.Payment{OrderNo: "R404", PayType: "WXPAY", PayAmount: "8.00", PayTime: paidAt, PayStatus: "FINISH"}.Message(md5Key)
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
	binary, err := crashBuild()
	if err != nil {
		t.Fatal(err)
	}
	var cases [][]string
	for _, point := range crashPoints {
		cases = append(cases, []string{crashVisit(point, maxCrashVisit)})
	}
	for range 6 {
		cases = append(cases, []string{crashVisit(crashPoints[rand.IntN(len(crashPoints))], 1), crashVisit(crashPoints[rand.IntN(len(crashPoints))], 2)})
	}
	stream := ordinary(24)
	slots := make(chan struct{}, 3) // each case has servers of its own
	for _, points := range cases {
		t.Run(strings.Join(points, ", then "), func(t *testing.T) {
			t.Parallel()
			slots <- struct{}{}
			defer func() { <-slots }()
			for _, problem := range crashSite(t, binary).crashRun(stream, points...) {
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
			"\tif j.Kind == \"pay-info\" {\n\t\t_ = r.conclusions.Do(context.Background(), Conclusion{ID: j.ID, State: Done, Outcome: \"written\"})\n\t\tcrash.At(\"broken\")\n\t}\n\toutcome, err := r.try(ctx, k, j)\n",
		}},
	},
}

// TestBrokenBoundariesAreNoticed proves that TestCrashPoints can fail: with a breach, the same run finds a problem.
func TestBrokenBoundariesAreNoticed(t *testing.T) {
	t.Parallel()
	stream := ordinary(6)
	for _, b := range breaches {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			binary, err := build("-tags=crashpoints", "-overlay="+overlay(t, b.file, b.edits...))
			if err != nil {
				t.Fatal(err)
			}
			s := crashSite(t, binary)
			s.endTimeout = 15 * time.Second
			problems := s.crashRun(stream, b.point)
			if len(problems) == 0 || strings.Contains(problems[0], "the crash point") {
				t.Errorf("the breach was not noticed: %v", problems)
			}
			t.Log(strings.Join(problems, "\n"))
		})
	}
}

// overlay writes an edited copy of a source file and returns the file for go build -overlay.
func overlay(t *testing.T, file string, edits ...[2]string) string {
	t.Helper()
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(source)
	for _, e := range edits {
		if strings.Count(text, e[0]) != 1 {
			t.Fatalf("%s has changed: it must contain %q once", file, e[0])
		}
		text = strings.Replace(text, e[0], e[1], 1)
	}
	edited := filepath.Join(t.TempDir(), "edited.go")
	if err := os.WriteFile(edited, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return overlayFile(t, file, edited)
}

func overlayFile(t *testing.T, file, edited string) string {
	t.Helper()
	path, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(map[string]map[string]string{"Replace": {path: edited}})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(t.TempDir(), "overlay.json")
	if err := os.WriteFile(list, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return list
}
