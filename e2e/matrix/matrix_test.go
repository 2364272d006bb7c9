package matrix

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jdpay-listener/e2e/box"
	"jdpay-listener/internal/testenv"
)

// faultVerdict is the result of a case.
type faultVerdict struct {
	met      bool // the fault struck
	took     time.Duration
	starts   int64
	problems []string
}

// String returns the verdict as a cell of the table.
func (v faultVerdict) String() string {
	switch {
	case len(v.problems) > 0:
		return "WRONG"
	case !v.met:
		return "not met"
	case v.starts > 1:
		return fmt.Sprintf("ok %.1fs ↻", v.took.Seconds()) // the daemon was started again
	}
	return fmt.Sprintf("ok %.1fs", v.took.Seconds())
}

const (
	faultConcurrency = 10 // worlds
	maxWorldRounds   = 8  // after which a daemon is stopped and its goroutines are counted
)

// maxFaultGroup is how many cases share a round, as long as nothing is wrong in it.
var maxFaultGroup = box.Pick(6, 3)

// TestStatementFaults lets every statement of the daemon fail in every way. It runs the daemon to find its statements; then
// each of them fails once in each way while payments are handled. At the end every payment must be complete: settled, with
// all its steps, or not settled at all.
//
// A few faults of different statements share a round (fewer in make soak). If something is wrong afterwards, each of them gets a round, and a
// database, of its own. FAULTS, a regular expression, selects cases by "statement × fault".
func TestStatementFaults(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	c := newFaultCompany(t)
	all := c.discover()
	discovered := time.Since(begin)
	only, err := regexp.Compile(os.Getenv("FAULTS"))
	if err != nil {
		t.Fatalf("FAULTS: %v", err)
	}
	cases := slices.DeleteFunc(slices.Clone(all), func(fc faultCase) bool { return !only.MatchString(fc.String()) })
	groups := groupCases(cases)

	queue := make(chan []faultCase, len(groups))
	for _, g := range groups {
		queue <- g
	}
	close(queue)
	m := faultMatrix{c: c, verdicts: map[testenv.Shape]map[string]faultVerdict{}, seen: map[testenv.Shape]bool{}}
	var workers sync.WaitGroup
	for range faultConcurrency {
		workers.Go(func() {
			var w *faultWorld
			for g := range queue {
				w = m.try(w, g)
			}
			if w != nil {
				m.leave(w)
			}
		})
	}
	workers.Wait()

	met := 0
	for shape, row := range m.verdicts {
		n := 0
		for name, v := range row {
			if len(v.problems) > 0 {
				t.Errorf("%s × %s:\n%s", shape, name, strings.Join(v.problems, "\n"))
			}
			if v.met {
				n++
			}
		}
		if n == 0 {
			t.Errorf("no fault struck %s", shape)
		}
		met += n
	}
	for _, fc := range all {
		delete(m.seen, fc.shape)
	}
	for shape := range m.seen {
		t.Logf("only seen under faults: %s", shape)
	}
	t.Logf("%d statement shapes × %d faults: %d of %d met, in %d rounds, %d worlds and %s (%s of it to discover them)\n%s", len(m.verdicts), len(testenv.StatementFaults),
		met, len(cases), m.rounds, len(c.worlds), time.Since(begin).Round(time.Second), discovered.Round(time.Second), faultTable(m.verdicts))
}

// roundInterval is the interval at which await checks whether the round is over; many worlds use the same server.
const roundInterval = 30 * time.Millisecond

// await waits until the round is over, and returns an error if it does not end. Until all faults have struck, it keeps
// waking the workers.
func (r *faultRound) await(armed []*testenv.ArmedFault) error {
	struck := func() bool {
		return !slices.ContainsFunc(armed, func(a *testenv.ArmedFault) bool { return !a.Struck() })
	}
	tick := time.NewTicker(roundInterval)
	defer tick.Stop()
	for turn := 0; ; turn++ {
		over, err := r.over(turn%5 == 0 && (armed == nil || !struck()))
		if over || err != nil {
			return err
		}
		if time.Since(r.begun) > roundTimeout {
			return fmt.Errorf("the round does not end within %s", roundTimeout)
		}
		<-tick.C
	}
}

// faultMatrix collects verdicts.
type faultMatrix struct {
	c *faultCompany

	mu       sync.Mutex
	verdicts map[testenv.Shape]map[string]faultVerdict
	seen     map[testenv.Shape]bool
	rounds   int64
}

// leave closes a world.
func (m *faultMatrix) leave(w *faultWorld) {
	if err := w.close(); err != nil {
		m.c.T.Errorf("%v\n%s", err, tail(&w.log))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rounds += w.rounds
	for s := range w.proxy.Seen() {
		m.seen[s] = true
	}
}

// conclude adds a verdict to the table.
func (m *faultMatrix) conclude(fc faultCase, v faultVerdict) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.verdicts[fc.shape] == nil {
		m.verdicts[fc.shape] = map[string]faultVerdict{}
	}
	m.verdicts[fc.shape][fc.fault.Name] = v
}

// try runs a group of cases in the world, or in a new one if it is nil. It returns the world for the next group, or nil if
// something was wrong in it.
func (m *faultMatrix) try(w *faultWorld, group []faultCase) *faultWorld {
	w, verdicts := m.play(w, group, group[0].occasion)
	if len(group) == 1 {
		switch {
		case w == nil || verdicts[0].met:
		case group[0].provoked != nil: // chance decides whether the fault strikes
			w, verdicts = m.play(w, group, inTraffic, inTraffic)
		default: // it may strike at another occasion
			w, verdicts = m.play(w, group, inTraffic, inSlowTraffic, onReconnect, onStart)
		}
		m.conclude(group[0], verdicts[0])
		return w
	}
	wrong := len(verdicts[0].problems) > 0
	for i, fc := range group {
		if !wrong && verdicts[i].met {
			m.conclude(fc, verdicts[i])
			continue
		}
		if w = m.try(w, group[i:i+1]); w == nil {
			wrong = false // this case is the cause; the others are tried alone nevertheless
			verdicts = make([]faultVerdict, len(group))
		}
	}
	if wrong {
		m.c.T.Errorf("each case alone passes, but together %v fail:\n%s", group, strings.Join(verdicts[0].problems, "\n"))
	}
	return w
}

// play runs rounds at the given occasions until each fault of the group has struck. If something is wrong afterwards it
// returns no world, and the first verdict has the problems.
func (m *faultMatrix) play(w *faultWorld, group []faultCase, occasions ...occasion) (*faultWorld, []faultVerdict) {
	verdicts := make([]faultVerdict, len(group))
	broken := func(problems ...string) (*faultWorld, []faultVerdict) {
		verdicts[0].problems = problems
		return nil, verdicts
	}
	if w != nil && w.rounds-w.born >= maxWorldRounds {
		if err := w.restart(); err != nil {
			return broken("without a fault: " + err.Error())
		}
	}
	if w == nil {
		var err error
		if w, err = m.c.newWorld(); err != nil {
			return broken("without a fault: " + err.Error())
		}
	}
	var armed []*testenv.ArmedFault
	for _, fc := range group {
		if fc.provoked != nil {
			w.proxy.Arm(*fc.provoked, 1, testenv.StatementFaults[1])
		}
		armed = append(armed, w.proxy.Arm(fc.shape, 1, fc.fault))
	}
	defer w.proxy.Disarm()
	for _, o := range occasions {
		began, starts := time.Now(), w.starts.Load()
		problems, evidence := w.round(o, armed)
		left := 0
		for i, a := range armed {
			verdicts[i] = faultVerdict{met: a.Struck(), took: time.Since(began), starts: w.starts.Load() - starts}
			if !verdicts[i].met {
				left++
			}
		}
		if len(problems) > 0 {
			problems = append(problems, fmt.Sprintf("%d of %d faults struck, in %s", len(armed)-left, len(armed), time.Since(began).Round(time.Millisecond)), evidence)
			_ = w.close() // its error is a consequence of the problems
			return broken(problems...)
		}
		if left == 0 {
			break
		}
	}
	return w, verdicts
}

// round runs one round at an occasion and returns what is wrong afterwards.
func (w *faultWorld) round(o occasion, armed []*testenv.ArmedFault) (problems []string, evidence string) {
	ended := w.ended.Load()
	switch o {
	case onReconnect:
		w.proxy.CutAll()
	case onStart:
		if err := w.restart(); err != nil {
			return []string{err.Error()}, tail(&w.log)
		}
		ended = w.ended.Load()
	}
	r, err := w.begin(o)
	if err != nil {
		return []string{err.Error()}, tail(&w.log)
	}
	if err := r.await(armed); err != nil {
		problems = append(problems, err.Error())
	}
	problems = append(problems, r.problems()...)
	if n := w.ended.Load() - ended; n > 0 {
		problems = append(problems, fmt.Sprintf("the daemon ended by itself %d times", n))
	}
	if len(problems) > 0 {
		evidence = r.evidence()
	}
	return problems, evidence
}

func tail(b *testenv.Buffer) string {
	text := b.String()
	return text[max(0, len(text)-3000):]
}

// brief shortens statements.
var brief = strings.NewReplacer("lease = NULL, lease_until = NULL, ", "", "DATE_ADD (UTC_TIMESTAMP (?), INTERVAL ? MICROSECOND)", "later", "UTC_TIMESTAMP (?)", "now", " = ?", "")

// faultTable returns a table of the verdicts by shape and fault.
func faultTable(verdicts map[testenv.Shape]map[string]faultVerdict) string {
	const width = 120
	var b strings.Builder
	fmt.Fprintf(&b, "%-*s", width, "statement, in [the transaction that begins with]")
	for _, f := range testenv.StatementFaults {
		fmt.Fprintf(&b, " %-10s", f.Name)
	}
	for _, shape := range slices.SortedFunc(maps.Keys(verdicts), byName) {
		name := []rune(brief.Replace(shape.String()))
		if len(name) > width {
			name = slices.Concat(name[:width*3/4], []rune("…"), name[len(name)-width/4+1:])
		}
		fmt.Fprintf(&b, "\n%-*s", width, string(name))
		for _, f := range testenv.StatementFaults {
			fmt.Fprintf(&b, " %-10s", verdicts[shape][f.Name])
		}
	}
	return b.String()
}
