package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"jdpay-listener/internal/testenv"
)

// TestEarlyEnds ends the program before its time in each way. It must leave no file, say nothing untrue, and have the exit
// code that a shell's user expects.
func TestEarlyEnds(t *testing.T) {
	path := program(t)
	for _, c := range []struct {
		name string
		args []string
		end  func(p *os.Process, out io.Closer) error
		code int
	}{
		{"Ctrl-C", nil, func(p *os.Process, _ io.Closer) error { return p.Signal(os.Interrupt) }, 130},
		{"SIGTERM", nil, func(p *os.Process, _ io.Closer) error { return p.Signal(syscall.SIGTERM) }, 143},
		{"the terminal is closed", nil, func(p *os.Process, _ io.Closer) error { return p.Signal(syscall.SIGHUP) }, 129},
		{"head has enough", nil, func(_ *os.Process, out io.Closer) error { return out.Close() }, 141},
		{"head has enough and nothing more is printed", []string{"--count", "0", "--keep-running"}, func(_ *os.Process, out io.Closer) error { return out.Close() }, 141},
	} {
		t.Run(c.name, func(t *testing.T) {
			folder := t.TempDir()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, path, c.args...)
			cmd.Env = append(os.Environ(), "TMPDIR="+folder)
			var problems testenv.Buffer
			cmd.Stderr = &problems
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewReader(out)
			for line := ""; !strings.Contains(line, "daemon "); {
				if line, err = lines.ReadString('\n'); err != nil {
					t.Fatalf("%v: %s", err, problems.String())
				}
			}
			if err := c.end(cmd.Process, out); err != nil {
				t.Fatal(err)
			}
			rest, _ := io.ReadAll(lines) // the pipe may be closed
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != c.code {
				t.Errorf("exit code %d, want %d: %s", code, c.code, problems.String())
			}
			if problems.String() != "" {
				t.Errorf("it says %q", problems.String())
			}
			if c.code < 141 && !strings.Contains(string(rest), "Interrupted: ") {
				t.Errorf("it does not say that it was interrupted: %s", rest)
			}
			if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
				t.Errorf("it leaves %v, %v", left, err)
			}
		})
	}
}

// TestFailures: a start that fails and an output that takes nothing are one line on stderr.
func TestFailures(t *testing.T) {
	path := program(t)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, c := range []struct {
		name, folder string
		out          *os.File
		args         []string
		code         int
		want         string
	}{
		{"no temporary folder", "/nonexistent", nil, nil, 1, "jdpay-sandbox: starting the sandbox: making a folder for the configuration, in TMPDIR or else /tmp: stat /nonexistent: no such file or directory\n"},
		{"no space for the output", t.TempDir(), full, nil, 1, "jdpay-sandbox: write /dev/stdout: no space left on device\n"},
		{"no such language", t.TempDir(), nil, []string{"--lang", "fr"}, 2, "jdpay-sandbox: --lang is en or zh; see jdpay-sandbox --help\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, path, append([]string{"--count", "2"}, c.args...)...)
			cmd.Env = append(os.Environ(), "TMPDIR="+c.folder)
			var problems testenv.Buffer
			cmd.Stderr = &problems
			if c.out != nil {
				cmd.Stdout = c.out
			}
			_ = cmd.Run()
			if code := cmd.ProcessState.ExitCode(); code != c.code || problems.String() != c.want {
				t.Errorf("exit code %d, %q; want %d, %q", code, problems.String(), c.code, c.want)
			}
		})
	}
}
