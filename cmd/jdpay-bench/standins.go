package main

import (
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"time"

	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/jdserver"
	"jdpay-listener/internal/sandbox/mnsserver"
)

// StandIns are MNS and JD in a process of their own, so that their processor time is measured separately. The bench controls
// them by RPC over their standard input and output; they end with it.
type StandIns struct {
	mns  *mnsserver.Server
	jd   *jdserver.Server
	read int // number of JD's calls that the bench has read
}

// Addresses of a new pair of stand-ins.
type Addresses struct{ MNS, JD string }

// Pacing asks for the messages of some orders, one by one at an even rate.
type Pacing struct {
	Orders    Orders
	PerSecond int
}

// QueueState sums up both queues.
type QueueState struct {
	Left     int // messages not yet deleted
	Inactive int // of these, received and not visible
	Requests int // of all kinds since the stand-ins were opened
	Open     int // long polls
}

func serveStandIns() error {
	s := &StandIns{}
	server := rpc.NewServer()
	if err := server.Register(s); err != nil {
		return err
	}
	server.ServeConn(stdio{os.Stdin, os.Stdout}) // until the bench closes its end
	return nil
}

type stdio struct {
	io.Reader
	io.WriteCloser
}

// Open replaces the stand-ins by new ones, with empty queues and JD's latency.
func (s *StandIns) Open(jdLatency time.Duration, to *Addresses) (err error) {
	if s.mns != nil {
		s.mns.Close()
		s.jd.Close()
	}
	s.mns = mnsserver.New(mnsserver.Options{
		Keys:   map[string]string{sandbox.AccessKeyID: sandbox.AccessKeySecret},
		Queues: []string{sandbox.NotifyQueue, sandbox.ReplyQueue},
	})
	s.jd, s.read = jdserver.New(jdserver.Options{Latency: jdLatency}), 0
	if to.MNS, err = s.mns.Start(); err == nil {
		to.JD, err = s.jd.Start()
	}
	return err
}

// Put puts the messages of all orders into the queue at once and returns when.
func (s *StandIns) Put(orders Orders, at *time.Time) error {
	bodies := orders.messages()
	*at = time.Now()
	s.mns.Put(sandbox.NotifyQueue, bodies...)
	return nil
}

// Pace puts messages into the queue at an even rate and returns when each was put.
func (s *StandIns) Pace(p Pacing, sent *[]time.Time) error {
	begin := time.Now()
	for i, body := range p.Orders.messages() {
		time.Sleep(time.Until(begin.Add(time.Duration(i) * time.Second / time.Duration(p.PerSecond))))
		*sent = append(*sent, time.Now())
		s.mns.Put(sandbox.NotifyQueue, body)
	}
	return nil
}

// Reply puts a cabinet's reply to the order's command into the reply queue and returns when.
func (s *StandIns) Reply(orderID int64, at *time.Time) error {
	reply := sandbox.Reply{MessageID: fmt.Sprint("pay-complete-", orderID), Device: serial(orderID), Code: "0", Text: "ok"}.Message(sandbox.Md5Key)
	*at = time.Now()
	s.mns.Put(sandbox.ReplyQueue, reply)
	return nil
}

// Queue returns the state of the queues.
func (s *StandIns) Queue(_ int, sum *QueueState) error {
	for _, name := range []string{sandbox.NotifyQueue, sandbox.ReplyQueue} {
		stats := s.mns.Stats(name)
		sum.Left += stats.Active + stats.Inactive + stats.Delayed
		sum.Inactive += stats.Inactive
		sum.Open += stats.Waiting
		for _, n := range stats.Calls {
			sum.Requests += n
		}
	}
	return nil
}

// Calls returns every call that JD got since the last time it was asked.
func (s *StandIns) Calls(_ int, calls *[]jdserver.Call) error {
	all := s.jd.Calls()
	*calls, s.read = all[s.read:], len(all)
	return nil
}

// Hang makes JD send no replies, or ends that.
func (s *StandIns) Hang(on bool, _ *int) error {
	if on {
		s.jd.ScriptNext(-1, jdserver.Reply{Hang: true})
	} else {
		s.jd.ClearScripts()
	}
	return nil
}

// Accepted counts the statuses that JD has accepted.
func (s *StandIns) Accepted(_ int, n *int) error {
	for _, call := range s.jd.Calls() {
		if call.Accepted {
			*n++
		}
	}
	return nil
}

// SlowDown delays every reply of MNS.
func (s *StandIns) SlowDown(delay time.Duration, _ *int) error {
	s.mns.Inject(mnsserver.Fault{Times: -1, Delay: delay})
	return nil
}

// EndInvisibility shifts the clock of MNS past the visibility timeouts of all received messages.
func (s *StandIns) EndInvisibility(_ int, _ *int) error {
	s.mns.ShiftClock(time.Minute)
	return nil
}

// standIns is the bench's end of the process.
type standIns struct {
	*rpc.Client
	cmd *exec.Cmd
}

func startStandIns() (*standIns, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, childFlag+"stand-ins")
	cmd.Env = append(os.Environ(), paidAtVariable+"="+paidAt)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the stand-ins: %w", err)
	}
	return &standIns{rpc.NewClient(stdio{out, in}), cmd}, nil
}

func (s *standIns) close() error {
	return errors.Join(s.Client.Close(), s.cmd.Wait())
}

func (s *standIns) queue() (state QueueState, err error) {
	if err = s.Call("StandIns.Queue", 0, &state); err != nil {
		err = fmt.Errorf("asking the stand-in for MNS: %w", err)
	}
	return state, err
}
