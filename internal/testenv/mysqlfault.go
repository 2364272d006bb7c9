package testenv

import (
	"fmt"
	"strings"
	"time"
)

// StatementFault is a way in which a statement can fail.
type StatementFault struct {
	Name string
	// Number, State and Text are the error that the program gets. The server does not get the statement, and an open
	// transaction stays open.
	Number uint16
	State  string
	Text   string
	// RolledBack rolls the server's transaction back before the error is sent, as a deadlock does.
	RolledBack bool
	// CutBefore closes the connection before the server gets the statement, CutAfter when the server has run it and before
	// the program gets the result.
	CutBefore, CutAfter bool
	// Stall delays the statement, which is run then.
	Stall time.Duration
	// RowLost takes the last row out of an INSERT, which succeeds: so it looks when the row meets one that another session
	// stored meanwhile.
	RowLost bool
}

// Fits reports whether statements of the shape can fail in this way: only an INSERT whose rows are read back can lose one.
func (f StatementFault) Fits(s Shape) bool {
	return !f.RowLost || strings.HasPrefix(s.Text, "INSERT ") && strings.Contains(s.Text, "; SELECT ")
}

// StatementFaults are the ways in which statements fail in production: by other transactions, by the network, by a
// fail-over (read-only), by a cluster's node that is not ready, by a full table space and by a full disk; and one in which they
// report a success and lose a row.
var StatementFaults = []StatementFault{
	{Name: "1213", Number: 1213, State: "40001", Text: "Deadlock found when trying to get lock; try restarting transaction", RolledBack: true},
	{Name: "1205", Number: 1205, State: "HY000", Text: "Lock wait timeout exceeded; try restarting transaction"},
	{Name: "cut before", CutBefore: true},
	{Name: "cut after", CutAfter: true},
	{Name: "1290", Number: 1290, State: "HY000", Text: "The MySQL server is running with the --read-only option so it cannot execute this statement"},
	{Name: "1047", Number: 1047, State: "08S01", Text: "WSREP has not yet prepared node for application use"},
	{Name: "1114", Number: 1114, State: "HY000", Text: "The table 'jdpay_job' is full"},
	{Name: "1021", Number: 1021, State: "HY000", Text: `Disk full (/tmp/#sql); waiting for someone to free some space... (errno: 28 "No space left on device")`},
	{Name: "stall", Stall: 2 * time.Second},
	{Name: "row lost", RowLost: true},
}

// ArmedFault is a fault that the next matching statement causes.
type ArmedFault struct {
	Shape Shape
	Fault StatementFault

	left int // statements of the shape until it is injected; guarded by the proxy's mu
	met  chan struct{}
}

// Met is closed when the fault has been injected.
func (a *ArmedFault) Met() <-chan struct{} { return a.met }

// Struck reports whether the fault has been injected.
func (a *ArmedFault) Struck() bool {
	select {
	case <-a.met:
		return true
	default:
		return false
	}
}

// String names the shape and the fault.
func (a *ArmedFault) String() string { return fmt.Sprintf("%s × %s", a.Shape, a.Fault.Name) }

// Arm makes the n-th statement of the shape from now on fail; 1 is the next one.
func (p *MySQLProxy) Arm(shape Shape, n int, fault StatementFault) *ArmedFault {
	a := &ArmedFault{Shape: shape, Fault: fault, left: n, met: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = append(p.armed, a)
	return a
}

// Disarm removes every fault that has not been injected.
func (p *MySQLProxy) Disarm() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = nil
}

// count counts a statement and returns its fault, if any.
func (p *MySQLProxy) count(shape Shape) *ArmedFault {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen[shape]++
	for i, a := range p.armed {
		if a.Shape != shape {
			continue
		}
		if a.left--; a.left == 0 {
			p.armed = append(p.armed[:i:i], p.armed[i+1:]...)
			return a
		}
	}
	return nil
}
