package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/jdserver"
	"jdpay-listener/internal/sandbox/schema"
	"jdpay-listener/internal/testenv"
)

// TestSessionsThatDoNotCommit gives the daemon's sessions, before it prepares them, settings with which a statement or a COMMIT
// commits nothing, or a query does not return what is there. The daemon keeps messages and is killed with kill -9 once the
// queue is empty: every message must be in the table, and be settled by the next daemon.
func TestSessionsThatDoNotCommit(t *testing.T) {
	t.Parallel()
	s := newSite(t, jdserver.Options{})
	server, err := testenv.StartMariaDB()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	s.useDatabase(server)
	hostile := []string{"SET autocommit = 0", "SET completion_type = 1", "SET completion_type = 2", "SET autocommit = 0, completion_type = 1", "BEGIN", "SET sql_select_limit = 1", "SET unique_checks = 0, sql_mode = ''"}
	const each = 10
	stream := ordinary(each * len(hostile))
	for _, m := range stream {
		if err := sandbox.AddOrders(s.db, *m.Order); err != nil {
			t.Fatal(err)
		}
	}
	for i, statement := range hostile {
		t.Run(statement, func(t *testing.T) {
			s.t = t
			part := stream[i*each : (i+1)*each]
			if _, err := s.db.Exec("SET GLOBAL init_connect = ?", statement); err != nil { // it is run for all but superusers
				t.Fatal(err)
			}
			p := s.start("Jobs__Enabled=false")
			for _, m := range part {
				s.mns.Put(notifyQueue, m.Body)
			}
			s.eventually(30*time.Second, "the queue is empty", s.drained)
			p.kill()
			if n := s.count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'settle' AND state = 'ready'") + s.count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'settle' AND state = 'running'"); n != each {
				t.Fatalf("%d of %d messages are kept", n, each)
			}
			p = s.start()
			s.eventually(60*time.Second, "everything is done", func() bool {
				return s.count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'settle'") == (i+1)*each && s.unfinished() == 0
			})
			p.kill()
			s.checkSettledOnce(part)
		})
	}
}

// TestSessionsThatCannotBeSet has a server that limits a variable that the daemon sets. Whatever opens the database says which
// one, and what to do.
func TestSessionsThatCannotBeSet(t *testing.T) {
	t.Parallel()
	s := newSite(t, jdserver.Options{})
	server, err := testenv.StartMariaDB("--maximum-lock-wait-timeout=5")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	s.mysql, s.schema = server, "company"
	if err := server.CreateNamed(s.schema, schema.Account, schema.Main); err != nil {
		t.Fatal(err)
	}
	if err := grant(server.Open(t, s.schema), s.schema); err != nil {
		t.Fatal(err)
	}
	s.mns.Put(notifyQueue, ordinary(1)[0].Body)
	for _, args := range [][]string{{"migrate"}, {}, {"config", "check", "--connect"}, {"doctor"}, {"jobs", "list"}} {
		out, errOut, code := s.try(args...)
		for _, want := range []string{"lock_wait_timeout is 5 and not 20", "sessions are not as the daemon sets them", "proxy"} {
			if code != 1 || !strings.Contains(out+errOut, want) {
				t.Errorf("jdpay-listener %s: exit %d, %q is not in\n%s%s", strings.Join(args, " "), code, want, out, errOut)
			}
		}
	}
	out, _, _ := s.try("doctor", "--lang", "zh")
	mustContain(t, out, "数据库会话与守护进程设置的不一致：lock_wait_timeout is 5 and not 20", "直连服务器")
	if n := s.mns.Stats(notifyQueue); n.Active != 1 {
		t.Errorf("the message is taken: %+v", n)
	}
	dsn := connection("jdpay", s.mysql.Host, s.mysql.Port, s.schema)
	good := newSite(t, jdserver.Options{})
	out, errOut, code := func() (string, string, int) {
		good.extra["ConnectionStrings__Main"] = dsn
		return good.try()
	}()
	if want := "the main database (ConnectionStrings:Main)"; code != 1 || !strings.Contains(out+errOut, want) {
		t.Errorf("exit %d, want %s: %s", code, want, fmt.Sprint(out, errOut))
	}
}
