package e2e

import (
	"strings"
	"testing"
	"time"

	"jdpay-listener/e2e/box"
	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/jdserver"
	"jdpay-listener/internal/testenv"
)

// TestSmallestPool runs with the smallest pool that a connection string can ask for.
func TestSmallestPool(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	for _, pair := range s.ConnectTo(s.MySQL, ";Max Pool Size=1") {
		name, value, _ := strings.Cut(pair, "=")
		s.Extra[name] = value
	}
	s.Run("migrate")
	stream := box.Ordinary(20)
	for _, m := range stream {
		if err := sandbox.AddOrders(s.DB, *m.Order); err != nil {
			t.Fatal(err)
		}
	}
	p := s.Start()
	for _, m := range stream {
		s.MNS.Put(box.NotifyQueue, m.Body)
	}
	s.Eventually(30*time.Second, "everything is done", func() bool {
		return s.Count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'settle'") == len(stream) && s.Unfinished() == 0 && s.Drained()
	})
	s.CheckSettledOnce(stream)
	p.Stop()
}

// TestStatementBinlog has a server with binlog_format STATEMENT, which refuses every write at READ COMMITTED. migrate, the
// start and doctor say what to do.
func TestStatementBinlog(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	server, err := testenv.StartMariaDB("--log-bin", "--binlog-format=MIXED")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	s.UseDatabase(server)
	if _, err := s.DB.Exec("SET GLOBAL binlog_format = 'STATEMENT'"); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"migrate"}, {}, {"doctor"}} {
		out, errOut, code := s.Try(args...)
		if code != 1 || !strings.Contains(out+errOut, "set binlog_format = MIXED or ROW") {
			t.Errorf("jdpay-listener %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errOut)
		}
	}
}
