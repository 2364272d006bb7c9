package testenv

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// galeraProvider is the library of Debian's package galera-4.
const galeraProvider = "/usr/lib/galera/libgalera_smm.so"

// Galera is a cluster of MariaDB nodes, each with files and ports of its own.
type Galera struct{ Nodes []*MySQL }

// StartGalera starts a cluster of n nodes that the test owns and that stops with it. The first node founds the cluster;
// the others begin empty and get their data from a member by rsync, as a node that is added in production does.
func StartGalera(tb testing.TB, n int) *Galera {
	tb.Helper()
	binary(tb, "rsync")
	if _, err := os.Stat(galeraProvider); err != nil {
		tb.Fatalf("the package galera-4 is not installed: run make test, which installs what is missing: %v", err)
	}
	members := make([]string, n) // the nodes' replication addresses
	for i := range members {
		members[i] = freeAddr(tb)
	}
	g := &Galera{}
	tb.Cleanup(func() {
		for _, node := range g.Nodes {
			node.Close()
		}
	})
	for i := range n {
		node, err := newMariaDB(serverUser,
			"--binlog-format=ROW", "--innodb-autoinc-lock-mode=2", "--innodb-log-file-size=16M", "--innodb-buffer-pool-size=64M",
			"--wsrep-on=ON", "--wsrep-provider="+galeraProvider, "--wsrep-cluster-name=jdpay", "--wsrep-node-name=node"+strconv.Itoa(i),
			"--wsrep-cluster-address=gcomm://"+strings.Join(members, ","), "--wsrep-node-address=127.0.0.1",
			"--wsrep-sst-method=rsync", "--wsrep-sst-receive-address="+freeAddr(tb),
			// Durable against kill -9 only: three nodes on one disk would wait for each other's writes.
			"--innodb-flush-log-at-trx-commit=2",
			// A dead node is removed after 2 s instead of 5, since tests wait for it. gcache has the writes that a node missed
			// in a short absence.
			"--wsrep-provider-options=gmcast.listen_addr=tcp://"+members[i]+";ist.recv_addr="+freeAddr(tb)+
				";gcache.size=32M;evs.suspect_timeout=PT2S;evs.inactive_timeout=PT6S;evs.keepalive_period=PT0.5S;evs.inactive_check_period=PT0.5S",
		)
		if err != nil {
			tb.Fatal(err)
		}
		g.Nodes = append(g.Nodes, node)
		if i == 0 {
			if err = node.install(); err == nil {
				err = errors.Join(own(node.dir), node.startWith("--wsrep-new-cluster"))
			}
		} else {
			if err = os.Mkdir(filepath.Join(node.dir, "data"), 0o700); err == nil {
				err = errors.Join(own(node.dir), node.Start())
			}
		}
		if err != nil {
			tb.Fatalf("%v\nthe first node's log ends:\n%s", err, g.Log(0))
		}
		g.WaitSynced(tb, i)
	}
	return g
}

// serverUser is the nodes' user when the test runs as root: rsync's daemon, started by root, becomes nobody and may not
// write.
const serverUser = "mysql"

// own makes serverUser the owner of a node's files.
func own(dir string) error {
	if os.Geteuid() != 0 {
		return nil // nodes run as the test's user
	}
	u, err := user.Lookup(serverUser)
	if err != nil {
		return err
	}
	uid, _ := strconv.Atoi(u.Uid) // digits
	gid, _ := strconv.Atoi(u.Gid)
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, gid)
	})
}

func freeAddr(tb testing.TB) string {
	tb.Helper()
	port, err := FreePort()
	if err != nil {
		tb.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// WaitSynced waits until a node has all data and accepts statements.
func (g *Galera) WaitSynced(tb testing.TB, i int) {
	tb.Helper()
	node := g.Nodes[i]
	db := node.open(tb, "")
	defer db.Close()
	var state string
	var err error
	if !Poll(startTimeout, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		err = db.QueryRowContext(ctx, "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'wsrep_local_state_comment'").Scan(&state)
		return err == nil && state == "Synced"
	}) {
		tb.Fatalf("node %d is not synced after %s: it is %s (%v); its log ends:\n%s", i, startTimeout, state, err, node.proc.tail())
	}
}

// Log returns a node's log.
func (g *Galera) Log(i int) string {
	b, err := os.ReadFile(g.Nodes[i].proc.log)
	if err != nil {
		return fmt.Sprint(err)
	}
	return string(b)
}
