package box

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// Pick returns how much a test does in make test, and in make soak.
func Pick[T any](test, soak T) T {
	if os.Getenv("SOAK") != "" {
		return soak
	}
	return test
}

// Root is the repository's folder.
var Root = func() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}()

var (
	program      = sync.OnceValues(func() (string, error) { return buildShared("race", "-race") })
	crashProgram = sync.OnceValues(func() (string, error) { return buildShared("crashpoints", "-tags=crashpoints") })
)

// Program returns the program under test, built with the race detector like the tests themselves.
func Program(t *testing.T) string { return must(t, program) }

// CrashProgram returns the program with crash points.
func CrashProgram(t *testing.T) string { return must(t, crashProgram) }

// EditedProgram builds the program with an edited copy of a source file.
func EditedProgram(t *testing.T, file string, edits [][2]string, flags ...string) string {
	t.Helper()
	flags = append(flags, "-overlay="+overlay(t, file, edits))
	return must(t, func() (string, error) { return build(filepath.Join(t.TempDir(), "jdpay-listener"), flags...) })
}

func must(t *testing.T, build func() (string, error)) string {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: no whole programs")
	}
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// buildShared builds into bin/e2e, where the tests of other packages find it: go build leaves a file that is up to date alone,
// and replaces another one in one step.
func buildShared(name string, flags ...string) (string, error) {
	folder := filepath.Join(Root, "bin", "e2e")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(folder, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil { // else several packages would link it at the same time
		return "", err
	}
	return build(filepath.Join(folder, name), flags...)
}

func build(path string, flags ...string) (string, error) {
	args := append(append([]string{"build", "-buildvcs=false", "-o", path}, flags...), "jdpay-listener/cmd/jdpay-listener")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return path, nil
}

// overlay writes an edited copy of a source file and returns the file for go build -overlay.
func overlay(t *testing.T, file string, edits [][2]string) string {
	t.Helper()
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(source)
	for _, e := range edits {
		if strings.Count(text, e[0]) != 1 {
			t.Fatalf("%s has changed: it must contain %q once", file, e[0])
		}
		text = strings.Replace(text, e[0], e[1], 1)
	}
	edited := filepath.Join(t.TempDir(), "edited.go")
	if err := os.WriteFile(edited, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	path, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(map[string]map[string]string{"Replace": {path: edited}})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(t.TempDir(), "overlay.json")
	if err := os.WriteFile(list, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return list
}
