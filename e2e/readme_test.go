package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"jdpay-listener/e2e/box"
	"jdpay-listener/internal/sandbox/jdserver"
	"jdpay-listener/internal/sandbox/schema"
	"jdpay-listener/internal/testenv"
)

// productionBlock finds the block that begins with make build.
var productionBlock = regexp.MustCompile("(?s)```sh\n(make build.*?)```")

// TestReadmeBlock runs "Run it for real" of both READMEs, line by line, on private servers: with users that deploy/grants.sql makes and
// no other rights, up to the daemon that has started.
func TestReadmeBlock(t *testing.T) {
	t.Parallel()
	var commands []string // without comments, which are in the reader's language
	for i, name := range []string{"README.md", "README.zh-CN.md"} {
		text, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		block := productionBlock.FindSubmatch(text)
		if block == nil {
			t.Fatalf("%s has no block that begins with make build", name)
		}
		var lines []string
		for line := range strings.Lines(string(block[1])) {
			if line, _, _ = strings.Cut(line, " #"); !strings.HasPrefix(line, "#") && strings.TrimSpace(line) != "" {
				lines = append(lines, strings.TrimSpace(line))
			}
		}
		if i > 0 && strings.Join(lines, "\n") != strings.Join(commands, "\n") {
			t.Errorf("%s has other commands:\n%s", name, strings.Join(lines, "\n"))
		}
		if commands == nil {
			commands = lines
		}
	}
	daemon := len(commands) - 1
	if commands[daemon] != "bin/jdpay-listener" {
		t.Fatalf("the last line is %s, want the daemon", commands[daemon])
	}

	s := box.New(t, jdserver.Options{})
	server, err := testenv.StartMariaDB()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	for name, tables := range map[string]string{"account": schema.Account, "main": schema.Main} {
		if err := server.CreateNamed(name, tables); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	script := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\nset -eu\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, link := range []string{"configs", "deploy"} {
		if err := os.Symlink(filepath.Join(root, link), filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	script("make", fmt.Sprintf("[ \"$*\" = build ] && mkdir -p bin && cp '%s' bin/jdpay-listener", s.Binary))
	script("mysql", fmt.Sprintf("exec mariadb --no-defaults --skip-ssl -h %s -P %d -u root", server.Host, server.Port))
	address := fmt.Sprintf("Server=%s;Port=%d;", server.Host, server.Port)
	env := append(s.Env("jdpay"), "PATH="+dir+":"+os.Getenv("PATH"),
		"ConnectionStrings__Account="+address+"Database=account;Uid=jdpay;Pwd=SECRET", "ConnectionStrings__Main="+address+"Database=main;Uid=jdpay;Pwd=SECRET")

	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	for i, line := range commands {
		line = strings.ReplaceAll(line, "Server=DBHOST;", address)
		if i == daemon {
			line = "exec " + line // the interruption is for the daemon, not for the shell
		}
		cmd := exec.CommandContext(ctx, "sh", "-eu", "-c", line)
		cmd.WaitDelay = time.Minute
		cmd.Dir, cmd.Env = dir, env
		out := &testenv.Buffer{}
		cmd.Stdout, cmd.Stderr = out, out
		if i < daemon {
			if err := cmd.Run(); err != nil {
				t.Fatalf("%s: %v\n%s", line, err, out)
			}
			continue
		}
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if !testenv.Poll(time.Minute, func() bool { return bytes.Contains([]byte(out.String()), []byte(`"msg":"started"`)) }) {
			t.Errorf("the daemon does not start:\n%s", out)
		}
		cancel()
		_ = cmd.Wait() // it was interrupted
	}
}
