package e2e

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"jdpay-listener/e2e/box"
	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/jdserver"
	"jdpay-listener/internal/testenv"
)

// skewedBuild builds the program with an edited package time: its wall clock is wrong by TEST_CLOCK_SKEW seconds.
func skewedBuild(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(strings.TrimSpace(string(out)), "src", "time", "time.go")
	return box.EditedProgram(t, source, [][2]string{
		{"func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n", `var testSkew = func() (n int64) {
	text, _ := syscall.Getenv("TEST_CLOCK_SKEW")
	sign := int64(1)
	for _, c := range text {
		if c == '-' {
			sign = -1
		} else {
			n = 10*n + int64(c-'0')
		}
	}
	return sign * n
}()

func Now() Time {
	sec, nsec, mono := runtimeNow()
	sec += testSkew
`},
		{"\t\"math/bits\"\n", "\t\"math/bits\"\n\t\"syscall\"\n"},
	})
}

// TestFourReplicas runs four processes on one database and one queue, two of them with clocks that are minutes wrong, and
// kills and restarts them one after the other. No payment is lost or settled twice, each replica settles some, and no job
// runs twice at the same time.
func TestFourReplicas(t *testing.T) {
	t.Parallel()
	const latency = 30 * time.Millisecond
	s := box.New(t, jdserver.Options{Latency: latency})
	s.Extra["Logging__LogLevel__Default"] = "Information"
	right := s.Binary
	skewed := skewedBuild(t)
	skews := []int{0, -420, 0, 420}
	replicas := make([]*box.Process, len(skews))
	settled := make([]int, len(skews)) // by processes that were killed
	begin := func(i int) {
		s.Binary = right
		if skews[i] != 0 {
			s.Binary = skewed
		}
		replicas[i] = s.Start(fmt.Sprintf("TEST_CLOCK_SKEW=%d", skews[i]), fmt.Sprintf("Host__Instance=replica-%d", i))
		s.Binary = right
	}
	stream := box.Ordinary(1200)
	for _, m := range stream {
		if err := sandbox.AddOrders(s.DB, *m.Order); err != nil {
			t.Fatal(err)
		}
	}
	for i := range replicas {
		begin(i)
	}
	for _, p := range replicas {
		s.Eventually(20*time.Second, "all of them run", func() bool { return len(p.Lines("started")) > 0 })
	}
	load := time.NewTicker(5 * time.Millisecond) // 200/s for all replicas together
	defer load.Stop()
	for i, m := range stream {
		<-load.C
		s.MNS.Put(box.NotifyQueue, m.Body)
		if i%150 == 149 {
			victim := rand.IntN(len(replicas))
			replicas[victim].Kill()
			settled[victim] += len(replicas[victim].Lines("payment settled"))
			begin(victim)
			s.MNS.ShiftClock(31 * time.Second) // makes received messages visible again
		}
	}
	s.Eventually(90*time.Second, "everything is done", func() bool {
		return s.Count("SELECT COUNT(DISTINCT ref) FROM jdpay_job WHERE kind = 'settle'") >= len(stream) && s.Unfinished() == 0 && s.Drained()
	})
	s.CheckSettledOnce(stream)

	calls := map[string][]time.Time{}
	for _, c := range s.JD.Calls() {
		calls[c.Waybill] = append(calls[c.Waybill], c.At)
	}
	for waybill, at := range calls {
		slices.SortFunc(at, time.Time.Compare)
		for i := 1; i < len(at); i++ {
			if gap := at[i].Sub(at[i-1]); gap < latency {
				t.Errorf("JD was called again for waybill %s after %s, during the first call", waybill, gap)
			}
		}
	}
	for i, p := range replicas {
		settled[i] += len(p.Lines("payment settled"))
		if settled[i] == 0 {
			t.Errorf("replica %d settled nothing", i)
		}
		p.Stop()
	}
	t.Logf("settled by each: %v", settled)
}

// takeoverCompany returns a company and payments whose calls to JD hang, so that the daemon that made them keeps the leases.
func takeoverCompany(t *testing.T) (s *box.Company, stream []sandbox.Sent) {
	s = box.New(t, jdserver.Options{})
	s.Extra["Logging__LogLevel__Default"] = "Information"
	stream = box.Ordinary(20)
	for _, m := range stream {
		if err := sandbox.AddOrders(s.DB, *m.Order); err != nil {
			t.Fatal(err)
		}
	}
	s.JD.ScriptNext(len(stream), jdserver.Reply{Hang: true})
	return s, stream
}

// leaseJobs sends the payments and waits until one process runs all their calls to JD.
func leaseJobs(s *box.Company, stream []sandbox.Sent) {
	s.T.Helper()
	for _, m := range stream {
		s.MNS.Put(box.NotifyQueue, m.Body)
	}
	s.Eventually(20*time.Second, "the jobs are leased", func() bool {
		return s.Count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'waybill-status' AND state = 'running'") == len(stream) && s.Unfinished() == len(stream)
	})
}

// keepsItsJobs checks for a while that b takes over none of a's jobs.
func keepsItsJobs(s *box.Company, while time.Duration, why string) {
	s.T.Helper()
	if testenv.Poll(while, func() bool {
		return s.Count("SELECT COUNT(*) FROM jdpay_job WHERE lease LIKE 'b:%' AND kind = 'waybill-status'") > 0
	}) {
		s.T.Fatalf("jobs of a living instance were taken over: %s", why)
	}
}

// takenOver waits until all jobs are done or leased by another instance than the named one.
func takenOver(s *box.Company, limit time.Duration, from string) time.Duration {
	s.T.Helper()
	begin := time.Now()
	s.Eventually(limit, "the jobs of "+from+" are taken over", func() bool {
		return s.Count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'waybill-status' AND (state = 'ready' OR lease LIKE ?)", from+":%") == 0
	})
	return time.Since(begin)
}

// takeoverSlack is added to the promised 3 s for a machine that is busy with other tests.
const takeoverSlack = 1500 * time.Millisecond

func TestTakeoverByAnotherInstance(t *testing.T) {
	t.Parallel()
	s, stream := takeoverCompany(t)
	a := s.Start("Host__Instance=a")
	leaseJobs(s, stream)
	b := s.Start("Host__Instance=b")
	s.Eventually(20*time.Second, "b runs", func() bool { return len(b.Lines("started")) > 0 })
	keepsItsJobs(s, 6*time.Second, "a is slow, and b looks for leases of dead instances")
	a.Kill()
	took := takenOver(s, 3*time.Second+takeoverSlack, "a")
	t.Logf("taken over %s after kill -9", took.Round(time.Millisecond))
	s.Eventually(20*time.Second, "everything is done", func() bool { return s.Unfinished() == 0 })
	s.CheckSettledOnce(stream)
	b.Stop()
}

func TestTakeoverByTheRestartedInstance(t *testing.T) {
	t.Parallel()
	s, stream := takeoverCompany(t)
	a := s.Start("Host__Instance=a") // a fixed name: the restarted process must not take the old one's jobs for its own
	leaseJobs(s, stream)
	a.Kill()
	a = s.Start("Host__Instance=a")
	s.Eventually(20*time.Second, "it is back", func() bool { return len(a.Lines("started")) > 0 })
	begin := time.Now()
	s.Eventually(3*time.Second+takeoverSlack, "its jobs are done", func() bool { return s.Unfinished() == 0 })
	t.Logf("done %s after it was back", time.Since(begin).Round(time.Millisecond))
	s.CheckSettledOnce(stream)
	a.Stop()
}

// TestTakeoverFromALostHost simulates a power cut: the process is gone, and none of its connections is closed.
func TestTakeoverFromALostHost(t *testing.T) {
	t.Parallel()
	s, stream := takeoverCompany(t)
	proxy := newSilentProxy(t, s.MySQL.Addr())
	host, port, _ := net.SplitHostPort(proxy.addr)
	dsn := box.Connection("jdpay", host, port, s.Schema)
	a := s.Start("Host__Instance=a", "ConnectionStrings__Account="+dsn, "ConnectionStrings__Main="+dsn)
	leaseJobs(s, stream)
	b := s.Start("Host__Instance=b")
	s.Eventually(20*time.Second, "b runs", func() bool { return len(b.Lines("started")) > 0 })
	proxy.cut()
	a.Kill()
	took := takenOver(s, 20*time.Second, "a")
	t.Logf("taken over %s after the power cut", took.Round(time.Millisecond))
	s.Eventually(20*time.Second, "everything is done", func() bool { return s.Unfinished() == 0 })
	s.CheckSettledOnce(stream)
	b.Stop()
}

// TestNoTakeoverFromAFrozenProcess stops a process for ten seconds: it keeps its jobs.
func TestNoTakeoverFromAFrozenProcess(t *testing.T) {
	t.Parallel()
	s, stream := takeoverCompany(t)
	a := s.Start("Host__Instance=a")
	leaseJobs(s, stream)
	b := s.Start("Host__Instance=b")
	s.Eventually(20*time.Second, "b runs", func() bool { return len(b.Lines("started")) > 0 })
	if err := a.Cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	keepsItsJobs(s, 10*time.Second, "a is frozen for less than 15 s")
	if err := a.Cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	s.Eventually(60*time.Second, "everything is done", func() bool { return s.Unfinished() == 0 })
	s.CheckSettledOnce(stream)
	a.Stop()
	b.Stop()
}

// TestTakeoverFromALongFrozenProcess stops a process for longer than the server keeps an idle connection (15 s): its lock is
// released, another instance takes its jobs over, and what it writes when it continues changes nothing.
func TestTakeoverFromALongFrozenProcess(t *testing.T) {
	t.Parallel()
	s, stream := takeoverCompany(t)
	a := s.Start("Host__Instance=a")
	leaseJobs(s, stream)
	b := s.Start("Host__Instance=b")
	s.Eventually(20*time.Second, "b runs", func() bool { return len(b.Lines("started")) > 0 })
	frozen := time.Now()
	if err := a.Cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	takenOver(s, 20*time.Second, "a")
	t.Logf("taken over %s after it was frozen", time.Since(frozen).Round(time.Millisecond))
	testenv.Poll(time.Until(frozen.Add(20*time.Second)), func() bool { return false })
	if err := a.Cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	s.Eventually(60*time.Second, "everything is done", func() bool { return s.Unfinished() == 0 })
	s.CheckSettledOnce(stream)
	if n := s.Count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'waybill-status' AND outcome = 'updated' AND try_count = 2"); n != len(stream) {
		t.Errorf("%d of %d jobs were concluded by the second try, want all", n, len(stream))
	}
	s.MNS.Put(box.NotifyQueue, stream[0].Body) // a works again
	s.Eventually(20*time.Second, "a redelivery is a duplicate", func() bool {
		return s.Count("SELECT COUNT(*) FROM jdpay_job WHERE outcome = 'duplicate'") == 1
	})
	a.Stop()
	b.Stop()
}

// silentProxy is a proxy to the database that can simulate a power cut: it forwards nothing and leaves the server's side
// open.
type silentProxy struct {
	addr string
	dead atomic.Bool
}

func newSilentProxy(t *testing.T, to string) *silentProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &silentProxy{addr: l.Addr().String()}
	var mu sync.Mutex
	var far []net.Conn
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range far {
			c.Close()
		}
	})
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			mu.Lock()
			far = append(far, server)
			mu.Unlock()
			go p.forward(server, near, true)
			go p.forward(near, server, false)
		}
	}()
	return p
}

// forward copies until the proxy is cut; then the server gets nothing more, not even the end of the connection.
func (p *silentProxy) forward(to, from net.Conn, toServer bool) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if p.dead.Load() {
			return
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			if toServer || err != io.EOF {
				to.Close()
			}
			return
		}
	}
}

func (p *silentProxy) cut() { p.dead.Store(true) }
