package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a running program under measurement: a daemon or the loop.
type process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{}
	err  error // after done
}

// stopTimeout is how long an orderly stop may take: longer than the daemon's own timeouts.
const stopTimeout = 45 * time.Second

// startProcess starts a program with nothing but env, its output in a file of the folder dir.
func startProcess(dir string, env []string, argv ...string) (*process, error) {
	log, err := os.CreateTemp(dir, "log-*")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &process{cmd: exec.Command(argv[0], argv[1:]...), log: log.Name(), done: make(chan struct{})}
	p.cmd.Env, p.cmd.Dir = env, dir
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = dieWithParent()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { p.err = p.cmd.Wait(); close(p.done) }()
	return p, nil
}

// stop sends SIGTERM; the program must exit with 0.
func (p *process) stop(ctx context.Context) error {
	defer p.kill()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	select {
	case <-p.done:
		if p.err != nil {
			return fmt.Errorf("%s ended with %w; its log ends:\n%s", filepath.Base(p.cmd.Path), p.err, p.tail())
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s does not stop: %w", filepath.Base(p.cmd.Path), ctx.Err())
	}
}

// kill ends the program at once, if it still runs.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

func (p *process) tail() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-2000):])
}

// cpuTime is the processor time that a process has used, in steps of 10 ms, the unit of proc(5), stat, fields 14 and 15.
func cpuTime(pid int) (time.Duration, error) {
	fields, err := stat(pid)
	if err != nil {
		return 0, err
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(err1, err2)
}

// stat is /proc/PID/stat from the third field on; the second one, the name, may contain any character.
func stat(pid int) ([]string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 20 {
		return nil, fmt.Errorf("/proc/%d/stat has too few fields", pid)
	}
	return fields, nil
}

// resident returns a process's resident memory and its peak, in MiB.
func resident(pid int) (now, peak float64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(b)) {
		var kib float64
		switch name, value, _ := strings.Cut(line, ":"); name {
		case "VmRSS", "VmHWM":
			if _, err := fmt.Sscanf(value, "%f kB", &kib); err != nil {
				return 0, 0, fmt.Errorf("/proc/%d/status: %w", pid, err)
			}
			if name == "VmRSS" {
				now = kib / 1024
			} else {
				peak = kib / 1024
			}
		}
	}
	return now, peak, nil
}

// grandchild finds a server of testenv by its name. Its parent is a shell, which is a child of this process.
func grandchild(name string) (int, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return 0, err
	}
	for _, path := range paths {
		comm, err := os.ReadFile(path)
		if err != nil || strings.TrimSpace(string(comm)) != name {
			continue // gone meanwhile, or another program
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			return 0, err
		}
		if shell := parent(pid); shell != 0 && parent(shell) == os.Getpid() {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("the private %s is not among the running processes", name)
}

func parent(pid int) int {
	fields, err := stat(pid)
	if err != nil {
		return 0
	}
	ppid, err := strconv.Atoi(fields[1])
	if err != nil {
		return 0
	}
	return ppid
}
