package main

import (
	"strings"
	"testing"
	"time"

	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/jdserver"
	"jdpay-listener/internal/testenv"
)

// connectTo returns the settings of a replica that uses this server for both databases.
func (s *site) connectTo(server *testenv.MySQL, more string) []string {
	dsn := connection("jdpay", server.Host, server.Port, s.schema) + more
	return []string{"ConnectionStrings__Account=" + dsn, "ConnectionStrings__Main=" + dsn}
}

// TestSmallestPool runs with the smallest pool that a connection string can ask for.
func TestSmallestPool(t *testing.T) {
	t.Parallel()
	s := newSite(t, jdserver.Options{})
	for _, pair := range s.connectTo(s.mysql, ";Max Pool Size=1") {
		name, value, _ := strings.Cut(pair, "=")
		s.extra[name] = value
	}
	s.run("migrate")
	stream := ordinary(20)
	for _, m := range stream {
		if err := sandbox.AddOrders(s.db, *m.Order); err != nil {
			t.Fatal(err)
		}
	}
	p := s.start()
	for _, m := range stream {
		s.mns.Put(notifyQueue, m.Body)
	}
	s.eventually(30*time.Second, "everything is done", func() bool {
		return s.count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'settle'") == len(stream) && s.unfinished() == 0 && s.drained()
	})
	s.checkSettledOnce(stream)
	p.stop()
}

// TestStatementBinlog has a server with binlog_format STATEMENT, which refuses every write at READ COMMITTED. migrate, the
// start and doctor say what to do.
func TestStatementBinlog(t *testing.T) {
	t.Parallel()
	s := newSite(t, jdserver.Options{})
	server, err := testenv.StartMariaDB("--log-bin", "--binlog-format=MIXED")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	s.useDatabase(server)
	if _, err := s.db.Exec("SET GLOBAL binlog_format = 'STATEMENT'"); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"migrate"}, {}, {"doctor"}} {
		out, errOut, code := s.try(args...)
		if code != 1 || !strings.Contains(out+errOut, "set binlog_format = MIXED or ROW") {
			t.Errorf("jdpay-listener %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errOut)
		}
	}
}
