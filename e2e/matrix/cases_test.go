package matrix

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"time"

	"jdpay-listener/internal/testenv"
)

// These parts of a shape depend on which jobs happen to be due, and to end, at the same time.
var (
	lookForDue = regexp.MustCompile(`^(SELECT id, kind, priority, try_count, next_try_at FROM jdpay_job .* AND priority = \? AND ).*`)
	claimDue   = regexp.MustCompile(`^(UPDATE jdpay_job SET state = \?, lease = \?, .* WHERE id IN \(\?\) AND \().*`)
	concluding = regexp.MustCompile(`^UPDATE jdpay_job SET lease = NULL, lease_until = NULL, .*( WHERE .*)`)
	manyWaits  = "INTERVAL CASE id WHEN ? THEN ? END MICROSECOND"
)

// alike maps variants of a statement that come from the same place in the code to one shape.
func alike(s testenv.Shape) testenv.Shape {
	s.Text = lookForDue.ReplaceAllString(s.Text, "$1…")
	s.Text = claimDue.ReplaceAllString(s.Text, "$1…")
	s.Text = strings.ReplaceAll(s.Text, manyWaits, "INTERVAL ? MICROSECOND")
	if s.Tx == "UPDATE jdpay_job" { // several conclusions in one transaction
		s.Text = concluding.ReplaceAllString(s.Text, "UPDATE jdpay_job SET lease = NULL, …$1")
	}
	return s
}

// occasion is a situation in which statements of a shape are sent.
type occasion int

const (
	inTraffic     occasion = iota
	inSlowTraffic          // JD is slow, so leases are renewed
	onReconnect
	onStart
)

// faultCase is a shape and the fault with which it fails.
type faultCase struct {
	shape    testenv.Shape
	fault    testenv.StatementFault
	occasion occasion
	// provoked is a shape that fails first, with a lock wait, if this shape is sent only after a failure.
	provoked *testenv.Shape
}

// String returns the names of the shape and the fault.
func (fc faultCase) String() string { return fc.shape.String() + " × " + fc.fault.Name }

// groupCases groups cases of the same occasion and of different shapes.
func groupCases(cases []faultCase) (groups [][]faultCase) {
	rand.Shuffle(len(cases), func(i, j int) { cases[i], cases[j] = cases[j], cases[i] })
	open := map[occasion][]faultCase{}
	for _, fc := range cases {
		if fc.provoked != nil {
			groups = append(groups, []faultCase{fc})
			continue
		}
		g := open[fc.occasion]
		if slices.ContainsFunc(g, func(other faultCase) bool { return other.shape == fc.shape }) {
			groups = append(groups, []faultCase{fc})
			continue
		}
		if g = append(g, fc); len(g) == maxFaultGroup {
			groups, g = append(groups, g), nil
		}
		open[fc.occasion] = g
	}
	for _, g := range open {
		if len(g) > 0 {
			groups = append(groups, g)
		}
	}
	return groups
}

// discover runs a daemon without faults, and returns a case for each shape of statement that it sent and each fault.
func (c *faultCompany) discover() (cases []faultCase) {
	t := c.T
	t.Helper()
	w, err := c.newWorld()
	if err != nil {
		t.Fatal(err)
	}
	found := map[testenv.Shape]faultCase{}
	last := map[testenv.Shape]int{}
	// addNew adds the shapes that were sent since the last call.
	addNew := func(o occasion, of func(testenv.Shape) bool, provoked *testenv.Shape) {
		now := w.proxy.Seen()
		for s, n := range now {
			if _, known := found[s]; !known && n > last[s] && of(s) {
				found[s] = faultCase{shape: s, occasion: o, provoked: provoked}
			}
		}
		last = now
	}
	all := func(testenv.Shape) bool { return true }
	play := func(o occasion) {
		r, err := w.begin(o)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.await(nil); err != nil {
			t.Fatalf("without any fault: %v\n%s", err, r.evidence())
		}
		if problems := r.problems(); len(problems) > 0 {
			t.Fatalf("without any fault: %s\n%s", strings.Join(problems, "\n"), r.evidence())
		}
	}
	play(inTraffic)
	w.proxy.CutAll()
	last = w.proxy.Seen()
	testenv.Poll(2*time.Second, func() bool {
		return w.proxy.Seen()[testenv.Shape{Text: "SELECT GET_LOCK (?)"}] > last[testenv.Shape{Text: "SELECT GET_LOCK (?)"}]
	})
	addNew(onReconnect, func(s testenv.Shape) bool {
		return strings.HasPrefix(s.Text, "SET ") || strings.Contains(s.Text, "GET_LOCK")
	}, nil)
	for range 3 {
		play(inTraffic)
	}
	addNew(inTraffic, all, nil)
	play(inSlowTraffic)
	addNew(inSlowTraffic, all, nil)
	last = map[testenv.Shape]int{}
	addNew(onStart, all, nil)

	// Shapes that are sent only after a failure inside a transaction.
	for _, s := range slices.SortedFunc(maps.Keys(found), byName) {
		if s.Tx == "" || s.Text != "COMMIT" {
			continue
		}
		inside := testenv.Shape{}
		for other := range found {
			if other.Tx == s.Tx && other.Text != "COMMIT" && (inside.Text == "" || other.Text < inside.Text) {
				inside = other
			}
		}
		armed := w.proxy.Arm(inside, 1, testenv.StatementFaults[1])
		for range 5 {
			if play(inTraffic); armed.Struck() {
				break
			}
		}
		w.proxy.Disarm()
		addNew(inTraffic, func(f testenv.Shape) bool { return f.Tx == s.Tx }, &inside)
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	for _, shape := range slices.SortedFunc(maps.Keys(found), byName) {
		for _, f := range testenv.StatementFaults {
			if fc := found[shape]; f.Fits(shape) {
				fc.fault = f
				cases = append(cases, fc)
			}
		}
	}
	return cases
}

func byName(a, b testenv.Shape) int { return cmp.Compare(a.String(), b.String()) }
