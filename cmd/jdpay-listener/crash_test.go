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

// crashPoints are the places at which internal/crash can kill the process: every boundary between two effects, in the
// order of a payment's way.
var crashPoints = []string{
	"received", "inserted", "kept", "deleted",
	"settle locked", "settle paid", "settle steps created", "settle concluded", "settle committed",
	"command sent", "JD told", "pay info written", "tried", "concluded", "claimed",
	"reply matched", "reply committed", "reply published",
}

// TestCrashPointsAreAllTested fails when the code has a point that no test knows, or the other way round.
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

// crashSite is a site whose cabinets answer, so that every point is passed.
func crashSite(t *testing.T, binary string) *site {
	t.Helper()
	s := newSite(t, jdserver.Options{})
	s.binary = binary
	s.extra = map[string]string{
		"SyncReply__QueueName": replyQueue, "Mqtt__RequireReply": "true", "Mqtt__ReplyTimeout": "2s", "Logging__LogLevel__Default": "Information",
		"Jobs__Retry__pay-complete__FirstWait": "200ms",
	}
	s.cabinet.mu.Lock()
	s.cabinet.onTo = s.confirm
	s.cabinet.mu.Unlock()
	return s
}

// confirm is a cabinet's answer: it has opened.
func (s *site) confirm(r received) { s.reply(r, "0", "ok") }

// reply puts a cabinet's signed answer to a command into the reply queue.
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

// crashRun sends payments through daemons that die at the given points, one after the other, and one that does not, and
// returns what is wrong in the end.
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
			if n < mostPassages { // one by one, so that no two of them share a passage
				testenv.Poll(time.Second, func() bool {
					return p.ended() || s.count("SELECT COUNT(*) FROM jdpay_job WHERE ref = ? AND outcome = 'settled'", m.Order.No()) > 0
				})
			}
		}
		if strings.HasPrefix(point, "claimed") { // it needs something to take over
			s.mns.Put(notifyQueue, s.orphan())
		}
		select {
		case <-p.done:
		case <-time.After(30 * time.Second):
			return []string{fmt.Sprintf("the point %q was never passed:\n%s", point, p.tail())}
		}
		if code := p.cmd.ProcessState.ExitCode(); code != -1 {
			return []string{fmt.Sprintf("at the point %q the daemon did not die by kill -9 but with exit %d:\n%s", point, code, p.tail())}
		}
		s.mns.ShiftClock(31 * time.Second) // what was in hand becomes visible again without waiting for it
	}
	p := s.start()
	for _, m := range stream[len(points)*len(stream)/(len(points)+1):] {
		s.mns.Put(notifyQueue, m.Body)
	}
	testenv.Poll(s.patience, func() bool {
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

// orphan is a payment whose order does not exist at first: its settle job is tried, put back and claimed again.
func (s *site) orphan() string {
	return sandbox.Payment{OrderNo: "R404", PayType: "WXPAY", PayAmount: "8.00", PayTime: "2026-11-20 12:00:00", PayStatus: "FINISH"}.Message(md5Key)
}

// mostPassages is the latest passage of a point at which a process is killed.
const mostPassages = 3

// passage is one of the first passages of a point; jobs are claimed from the table once at least.
func passage(point string, most int) string {
	if point == "claimed" {
		most = 1
	}
	return fmt.Sprint(point, "#", 1+rand.IntN(most))
}

// TestCrashPoints kills the process at each point in turn, and at random pairs of points, restarts it, and requires that
// nothing is lost or doubled.
func TestCrashPoints(t *testing.T) {
	t.Parallel()
	binary, err := crashBuild()
	if err != nil {
		t.Fatal(err)
	}
	var cases [][]string
	for _, point := range crashPoints {
		cases = append(cases, []string{passage(point, mostPassages)})
	}
	for range 6 {
		cases = append(cases, []string{passage(crashPoints[rand.IntN(len(crashPoints))], 1), passage(crashPoints[rand.IntN(len(crashPoints))], 2)})
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

// breach breaks one boundary in the program's source, so that a crash at the point must be noticed.
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
			{"if steps, err = s.runner.Insert(ctx, tx, newSteps...); err != nil {", "if late = newSteps; false {"},
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

// TestBrokenBoundariesAreNoticed shows that TestCrashPoints can fail: with a boundary broken on purpose, the same run
// finds something lost.
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
			s.patience = 15 * time.Second
			problems := s.crashRun(stream, b.point)
			if len(problems) == 0 || strings.Contains(problems[0], "the point") {
				t.Errorf("nobody noticed: %v", problems)
			}
			t.Log(strings.Join(problems, "\n"))
		})
	}
}

// overlay writes an edited copy of a source file and returns what go build -overlay wants.
func overlay(t *testing.T, file string, edits ...[2]string) string {
	t.Helper()
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(source)
	for _, e := range edits {
		if strings.Count(text, e[0]) != 1 {
			t.Fatalf("%s has changed: it no longer holds %q once", file, e[0])
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
