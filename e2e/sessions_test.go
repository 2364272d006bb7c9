package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"jdpay-listener/e2e/box"
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
	s := box.New(t, jdserver.Options{})
	server, err := testenv.StartMariaDB()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	s.UseDatabase(server)
	hostile := []string{"SET autocommit = 0", "SET completion_type = 1", "SET completion_type = 2", "SET autocommit = 0, completion_type = 1", "BEGIN", "SET sql_select_limit = 1", "SET unique_checks = 0, sql_mode = ''"}
	const each = 10
	stream := box.Ordinary(each * len(hostile))
	for _, m := range stream {
		if err := sandbox.AddOrders(s.DB, *m.Order); err != nil {
			t.Fatal(err)
		}
	}
	for i, statement := range hostile {
		t.Run(statement, func(t *testing.T) {
			s.T = t
			part := stream[i*each : (i+1)*each]
			if _, err := s.DB.Exec("SET GLOBAL init_connect = ?", statement); err != nil { // it is run for all but superusers
				t.Fatal(err)
			}
			p := s.Start("Jobs__Enabled=false")
			for _, m := range part {
				s.MNS.Put(box.NotifyQueue, m.Body)
			}
			s.Eventually(30*time.Second, "the queue is empty", s.Drained)
			p.Kill()
			if n := s.Count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'settle' AND state = 'ready'") + s.Count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'settle' AND state = 'running'"); n != each {
				t.Fatalf("%d of %d messages are kept", n, each)
			}
			p = s.Start()
			s.Eventually(60*time.Second, "everything is done", func() bool {
				return s.Count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'settle'") == (i+1)*each && s.Unfinished() == 0
			})
			p.Kill()
			s.CheckSettledOnce(part)
		})
	}
}

// TestSessionsThatCannotBeSet has a server that limits a variable that the daemon sets. Whatever opens the database says which
// one, and what to do.
func TestSessionsThatCannotBeSet(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	server, err := testenv.StartMariaDB("--maximum-lock-wait-timeout=4")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	s.MySQL, s.Schema = server, "company"
	if err := server.CreateNamed(s.Schema, schema.Account, schema.Main); err != nil {
		t.Fatal(err)
	}
	if err := box.Grant(server.Open(t, s.Schema), s.Schema); err != nil {
		t.Fatal(err)
	}
	s.MNS.Put(box.NotifyQueue, box.Ordinary(1)[0].Body)
	for _, args := range [][]string{{"migrate"}, nil, {"config", "check", "--connect"}, {"doctor"}, {"jobs", "list"}} {
		out, errOut, code := s.Try(args...)
		wait := 20
		if args != nil && args[0] == "migrate" {
			wait = 5 // everybody else waits behind it
		}
		for _, want := range []string{fmt.Sprintf("lock_wait_timeout is 4 and not %d", wait), "sessions are not as the daemon sets them", "proxy"} {
			if code != 1 || !strings.Contains(out+errOut, want) {
				t.Errorf("jdpay-listener %s: exit %d, %q is not in\n%s%s", strings.Join(args, " "), code, want, out, errOut)
			}
		}
	}
	out, _, _ := s.Try("doctor", "--lang", "zh")
	mustContain(t, out, "数据库会话与守护进程设置的不一致：lock_wait_timeout is 4 and not 20", "直连服务器")
	if n := s.MNS.Stats(box.NotifyQueue); n.Active != 1 {
		t.Errorf("the message is taken: %+v", n)
	}
	dsn := box.Connection("jdpay", s.MySQL.Host, s.MySQL.Port, s.Schema)
	good := box.New(t, jdserver.Options{})
	out, errOut, code := func() (string, string, int) {
		good.Extra["ConnectionStrings__Main"] = dsn
		return good.Try()
	}()
	if want := "the main database (ConnectionStrings:Main)"; code != 1 || !strings.Contains(out+errOut, want) {
		t.Errorf("exit %d, want %s: %s", code, want, fmt.Sprint(out, errOut))
	}
}
