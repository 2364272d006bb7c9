package box

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Process is a running daemon.
type Process struct {
	T    *testing.T
	Cmd  *exec.Cmd
	log  *os.File
	Done chan struct{}
	Err  error
}

// Start starts a daemon; more are further environment variables.
func (s *Company) Start(more ...string) *Process {
	s.T.Helper()
	return s.start(nil, more)
}

// StartConsole starts the console; more are further environment variables.
func (s *Company) StartConsole(more ...string) *Process {
	s.T.Helper()
	return s.start([]string{"console"}, more)
}

func (s *Company) start(args, more []string) *Process {
	s.T.Helper()
	p := &Process{T: s.T, Cmd: exec.Command(s.Binary, args...), Done: make(chan struct{})}
	p.Cmd.Env, p.Cmd.Dir = s.Env(UserOf(args), more...), s.T.TempDir()
	var err error
	if p.log, err = os.CreateTemp(s.T.TempDir(), "log"); err != nil {
		s.T.Fatal(err)
	}
	p.Cmd.Stdout, p.Cmd.Stderr = p.log, p.log
	if err := p.Cmd.Start(); err != nil {
		s.T.Fatal(err)
	}
	go func() { p.Err = p.Cmd.Wait(); close(p.Done) }()
	s.T.Cleanup(func() {
		p.Kill()
		if s.T.Failed() {
			s.T.Logf("the daemon's log ends:\n%s", p.Tail())
		}
		p.log.Close()
	})
	return p
}

// Ended reports whether the process has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.Done:
		return true
	default:
		return false
	}
}

// Kill kills it with kill -9.
func (p *Process) Kill() {
	_ = p.Cmd.Process.Kill()
	<-p.Done
}

// Stop stops it with SIGTERM and checks that it exits with 0.
func (p *Process) Stop() {
	p.T.Helper()
	_ = p.Cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.Done:
		if p.Err != nil {
			p.T.Errorf("the daemon stopped with %v\n%s", p.Err, p.Tail())
		}
	case <-time.After(60 * time.Second):
		p.T.Fatalf("the daemon does not stop\n%s", p.Tail())
	}
}

// Text is its log.
func (p *Process) Text() string {
	b, err := os.ReadFile(p.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Tail is the end of its log.
func (p *Process) Tail() string {
	text := p.Text()
	return text[max(0, len(text)-6000):]
}

// Lines returns the log lines with this message.
func (p *Process) Lines(msg string) (out []map[string]any) {
	begins := `"msg":"` + msg[:min(4, len(msg))] // tests ask for lines hundreds of times a second
	for line := range strings.Lines(p.Text()) {
		var m map[string]any
		if strings.Contains(line, begins) && json.Unmarshal([]byte(line), &m) == nil && m["msg"] == msg {
			out = append(out, m)
		}
	}
	return out
}
