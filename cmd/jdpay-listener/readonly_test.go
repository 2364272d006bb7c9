package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/jdserver"
	"jdpay-listener/internal/testenv"
)

// TestReadOnlyPrimary makes the account database read-only while the daemon runs, as a switch-over does with the old
// primary. Readiness must fail although connections and reads work, and payments continue when it accepts writes again.
func TestReadOnlyPrimary(t *testing.T) {
	t.Parallel()
	s := newSite(t, jdserver.Options{})
	own, err := testenv.StartMariaDB()
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	s.useDatabase(own)
	dsn := connection("jdpay", own.Host, own.Port, s.schema) // also for doctor: a user without the right to write does not notice that the server is read-only
	s.extra["ConnectionStrings__Account"], s.extra["ConnectionStrings__Main"] = dsn, dsn
	port, err := testenv.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	s.extra["Ops__Listen"] = fmt.Sprintf("127.0.0.1:%d", port)
	p := s.start()
	ready := func() (int, string) {
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/readyz", port))
		if err != nil {
			return 0, err.Error()
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	stream := ordinary(20)
	for _, m := range stream {
		if err := sandbox.AddOrders(s.db, *m.Order); err != nil {
			t.Fatal(err)
		}
	}
	s.eventually(30*time.Second, "it is ready", func() bool { code, _ := ready(); return code == 200 })
	for _, m := range stream[:10] {
		s.mns.Put(notifyQueue, m.Body)
	}
	s.eventually(30*time.Second, "payments are settled", func() bool {
		return s.count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'settle' AND state = 'done'") == 10
	})

	if _, err := s.db.Exec("SET GLOBAL read_only = 1"); err != nil {
		t.Fatal(err)
	}
	var body string
	s.eventually(30*time.Second, "it is not ready", func() bool {
		var code int
		code, body = ready()
		return code == 503
	})
	if !strings.Contains(body, "account database") || !strings.Contains(body, "read-only") {
		t.Errorf("/readyz returns %s", body)
	}
	if out, _, code := s.try("doctor"); code == 0 || !strings.Contains(out, "account database writes") {
		t.Errorf("doctor exits with %d:\n%s", code, out)
	}
	for _, m := range stream[10:] {
		s.mns.Put(notifyQueue, m.Body)
	}
	s.eventually(30*time.Second, "messages cannot be kept", func() bool { return len(p.lines("messages cannot be kept; polling pauses until they can")) > 0 })
	if _, err := s.db.Exec("SET GLOBAL read_only = 0"); err != nil {
		t.Fatal(err)
	}
	s.eventually(60*time.Second, "everything is done", func() bool {
		return s.count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'settle' AND state = 'done'") == len(stream) && s.unfinished() == 0
	})
	s.checkSettledOnce(stream)
	p.stop()
}
