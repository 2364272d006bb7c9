package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const minimalKey = "a-key-of-the-tests"

// minimal has the required keys only.
const minimal = `{
  "ConnectionStrings": {"Account": "Server=a;Database=acc;Uid=u;Pwd=p;SslMode=VerifyFull", "Main": "Server=m;Database=main;Uid=u;Pwd=p;SslMode=VerifyFull"},
  "Mns": {"Endpoint": "http://mns.test:8080"},
  "JDPay": {"NotifyQueueName": "notify", "Md5Key": "` + minimalKey + `"},
  "Mqtt": {"Server": "broker"},
  "JDApi": {"BaseUrl": "http://jd.test", "ProducerCode": "P", "CloudProducerCode": "C"}
}`

// testOptions returns Options with a directory and an environment of their own.
func testOptions(t *testing.T, environ ...string) Options {
	t.Helper()
	return Options{Dir: t.TempDir(), Environ: append([]string{}, environ...)} // never nil: that would be this process's
}

func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// loadMinimal loads the minimal file and, above it, a second file and environment variables.
func loadMinimal(t *testing.T, more string, environ ...string) (*Loaded, error) {
	t.Helper()
	opts := testOptions(t, environ...)
	write(t, opts.Dir, "appsettings.json", minimal)
	if more != "" {
		write(t, opts.Dir, "appsettings.Production.json", more)
	}
	return Load(opts)
}

func mustLoad(t *testing.T, more string, environ ...string) *Loaded {
	t.Helper()
	loaded, err := loadMinimal(t, more, environ...)
	if err != nil {
		t.Fatalf("loading failed:\n%v", err)
	}
	return loaded
}

// faultsOf returns the faults' lines.
func faultsOf(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	faults, ok := errors.AsType[Faults](err)
	if !ok {
		t.Fatalf("the error is %T, want Faults: %v", err, err)
	}
	return strings.Split(faults.Error(), "\n")
}

// setting returns one line of Effective.
func setting(t *testing.T, l *Loaded, key string) Setting {
	t.Helper()
	for _, s := range l.Effective() {
		if s.Key == key {
			return s
		}
	}
	t.Fatalf("%s is not among the effective settings", key)
	return Setting{}
}

func containsAny(s string, parts ...string) bool {
	for _, part := range parts {
		if strings.Contains(s, part) {
			return true
		}
	}
	return false
}

// compare is cmp.Diff for values with secrets; differing secrets are not printed.
func compare(want, got any) string {
	return cmp.Diff(want, got, cmp.Comparer(func(a, b Secret) bool { return a.Reveal() == b.Reveal() }))
}
