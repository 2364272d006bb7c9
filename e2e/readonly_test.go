package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"jdpay-listener/e2e/box"
	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/jdserver"
	"jdpay-listener/internal/testenv"
)

// TestReadOnlyPrimary makes the account database read-only while the daemon runs, as a switch-over does with the old
// primary. Readiness must fail although connections and reads work, and payments continue when it accepts writes again.
func TestReadOnlyPrimary(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	own, err := testenv.StartMariaDB()
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	s.UseDatabase(own)
	dsn := box.Connection("jdpay", own.Host, own.Port, s.Schema) // also for doctor: a user without the right to write does not notice that the server is read-only
	s.Extra["ConnectionStrings__Account"], s.Extra["ConnectionStrings__Main"] = dsn, dsn
	port, err := testenv.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	s.Extra["Ops__Listen"] = fmt.Sprintf("127.0.0.1:%d", port)
	p := s.Start()
	ready := func() (int, string) {
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/readyz", port))
		if err != nil {
			return 0, err.Error()
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	stream := box.Ordinary(20)
	for _, m := range stream {
		if err := sandbox.AddOrders(s.DB, *m.Order); err != nil {
			t.Fatal(err)
		}
	}
	s.Eventually(30*time.Second, "it is ready", func() bool { code, _ := ready(); return code == 200 })
	for _, m := range stream[:10] {
		s.MNS.Put(box.NotifyQueue, m.Body)
	}
	s.Eventually(30*time.Second, "payments are settled", func() bool {
		return s.Count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'settle' AND state = 'done'") == 10
	})

	if _, err := s.DB.Exec("SET GLOBAL read_only = 1"); err != nil {
		t.Fatal(err)
	}
	var body string
	s.Eventually(30*time.Second, "it is not ready", func() bool {
		var code int
		code, body = ready()
		return code == 503
	})
	if !strings.Contains(body, "account database") || !strings.Contains(body, "read-only") {
		t.Errorf("/readyz returns %s", body)
	}
	if out, _, code := s.Try("doctor"); code == 0 || !strings.Contains(out, "account database writes") {
		t.Errorf("doctor exits with %d:\n%s", code, out)
	}
	for _, m := range stream[10:] {
		s.MNS.Put(box.NotifyQueue, m.Body)
	}
	s.Eventually(30*time.Second, "messages cannot be kept", func() bool { return len(p.Lines("messages cannot be kept; polling pauses until they can")) > 0 })
	if _, err := s.DB.Exec("SET GLOBAL read_only = 0"); err != nil {
		t.Fatal(err)
	}
	s.Eventually(60*time.Second, "everything is done", func() bool {
		return s.Count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'settle' AND state = 'done'") == len(stream) && s.Unfinished() == 0
	})
	s.CheckSettledOnce(stream)
	p.Stop()
}
