package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"jdpay-listener/e2e/box"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/jdserver"
	"jdpay-listener/internal/testenv"
)

// terminal is a pseudo-terminal with so many columns: programs write to tty, people read from screen.
func terminal(t *testing.T, columns uint16) (screen, tty *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here: ", err)
	}
	t.Cleanup(func() { screen.Close() })
	fd := int(screen.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: columns})
	}
	if err != nil {
		t.Fatal(err)
	}
	if tty, err = os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Skip("no pseudo-terminals here: ", err)
	}
	t.Cleanup(func() { tty.Close() })
	return screen, tty
}

// show runs a command on a terminal and returns what is on its screen.
func show(t *testing.T, s *box.Company, columns uint16, args ...string) string {
	t.Helper()
	screen, tty := terminal(t, columns)
	cmd := exec.CommandContext(t.Context(), s.Binary, args...)
	cmd.Env, cmd.Dir = s.Env(box.UserOf(args), "LC_ALL=C.UTF-8"), t.TempDir()
	cmd.Stdout, cmd.Stderr = tty, tty
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tty.Close()
	text, _ := io.ReadAll(screen) // ends with an error when no process has the terminal open
	_ = cmd.Wait()
	return strings.ReplaceAll(string(text), "\r\n", "\n")
}

// TestNothingIsWiderThanTheTerminal runs every command that prints more than a line on 80 columns, with long texts in every row, and
// looks that what was cut or broken is what people can do without.
func TestNothingIsWiderThanTheTerminal(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	order := sandbox.Order{ID: 1, Amount: "8.00", Device: "CAB-WITH-A-LONG-SERIAL-NUMBER-0001", Type: 6}
	if err := sandbox.AddOrders(s.DB, order); err != nil {
		t.Fatal(err)
	}
	long := "the cabinet refused with code 17: " + strings.Repeat("门打不开 and nobody knows why; ", 12)
	body := sandbox.Payment{OrderNo: order.No(), PayType: "WXPAY", PayAmount: "8.00", PayTime: "2020-11-20 11:59:58", ExternalID: strings.Repeat("4200", 30)}.Message(box.MD5Key)
	ids := map[string]string{}
	for kind, columns := range map[string]map[string]any{
		"settle": finished("done", "settled", ""), "pay-complete": finished("parked", "refused", long), "waybill-status": {"state": "ready", "last_error": long, "try_count": 3},
	} {
		columns["kind"], columns["ref"], columns["unique_key"] = kind, order.No(), kind+":JDPayNotify:"+strings.Repeat("0123456789ABCDEF", 4)
		columns["trace"] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		columns["errors"] = `[{"at":"2020-11-20T04:01:00Z","try":1,"error":"` + long + `"}]`
		if kind == "settle" {
			columns["args"] = body
		}
		ids[kind] = addJob(s, columns)
	}
	file := filepath.Join(t.TempDir(), "message")
	if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	s.MNS.Put(box.NotifyQueue, body)
	s.Run("jobs", "pause", "pay-info", "--for", "2h", "--reason", long, "--as", strings.Repeat("anna ", 20))
	s.Run("jobs", "retry", ids["pay-complete"], "--reason", long)
	s.Run("jobs", "discard", ids["pay-complete"], "--reason", long)
	commands := []string{
		"status", "trace " + order.No(), "explain " + order.No(), "find " + order.No(), "verify " + file, "verify --job " + ids["settle"], "verify --job " + ids["settle"] + " --show-signature",
		"jobs list", "jobs show " + ids["settle"], "jobs show " + ids["waybill-status"], "jobs retry --all --order " + order.No() + " --dry-run", "jobs redact " + ids["settle"] + " --reason x --dry-run",
		"queue peek", "alerts", "audit", "doctor", "config check", "config check --connect", "migrate", "version", "jobs lst", "trace nothing",
	}
	for _, sub := range (&app{}).root().Commands() {
		commands = append(commands, sub.Name()+" --help")
	}
	for _, language := range []string{"en", "zh"} {
		for _, command := range commands {
			text := show(t, s, 80, append(strings.Fields(command), "--lang", language)...)
			if text == "" {
				t.Errorf("%s: nothing is shown", command)
			}
			for line := range strings.Lines(text) {
				if w := lang.Width(strings.TrimSuffix(line, "\n")); w > 80 {
					t.Errorf("%s --lang %s: %d columns: %s", command, language, w, line)
				}
			}
		}
	}
	// The text of the help fills the terminal, whatever the width of its lines in the source.
	for _, language := range []string{"en", "zh"} {
		text, _, _ := strings.Cut(show(t, s, 80, "find", "--help", "--lang", language), "\n\n")
		if language == "en" && !strings.Contains(strings.Join(strings.Fields(text), " "), "of a message in MNS or to a cabinet.") {
			t.Errorf("words run together: %s", text)
		}
		lines := strings.Split(text, "\n")
		for _, line := range lines[:len(lines)-1] {
			if lang.Width(line) < 60 {
				t.Errorf("find --help --lang %s breaks a line early: %q", language, line)
			}
		}
	}
	// What people copy is whole.
	for command, want := range map[string][]string{
		"trace " + order.No():        {order.No(), ids["settle"], "8.00"},
		"jobs show " + ids["settle"]: {"settle:JDPayNotify:", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
		"status":                     {"PAUSED: pay-info", "0 replicas live"},
	} {
		text := show(t, s, 80, append(strings.Fields(command), "--lang", "en")...)
		for _, part := range want {
			if !strings.Contains(text, part) {
				t.Errorf("%s does not show %q:\n%s", command, part, text)
			}
		}
	}
}

// TestStatusIsWatched: --watch shows the status again and again on an empty screen, and ends with 0.
func TestStatusIsWatched(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	screen, tty := terminal(t, 80)
	cmd := exec.Command(s.Binary, "status", "--watch", "--lang", "en")
	cmd.Env, cmd.Dir = s.Env(box.UserOf([]string{"status"})), t.TempDir()
	cmd.Stdout, cmd.Stderr = tty, tty
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tty.Close()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	var shown testenv.Buffer
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(&shown, screen)
	}()
	clear := regexp.MustCompile("\x1b\\[H\x1b\\[2J")
	screens := func(want string) func() bool {
		return func() bool {
			n := 0
			for _, text := range clear.Split(shown.String(), -1)[1:] {
				if strings.Contains(text, want) {
					n++
				}
			}
			return n >= 2
		}
	}
	s.Eventually(30*time.Second, "the status is shown twice", screens("0 replicas live"))
	addJob(s, finished("parked", "refused", "why"))
	s.Eventually(30*time.Second, "it is the newest", screens("1 jobs are parked"))
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v", err)
	}
	<-done
}
