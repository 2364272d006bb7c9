package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jdpay-listener/e2e/box"

	"github.com/go-sql-driver/mysql"
	"github.com/google/go-cmp/cmp"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/jdserver"
	"jdpay-listener/internal/sandbox/mnsserver"
	"jdpay-listener/internal/sqldb"
	"jdpay-listener/internal/testenv"
)

// TestGalera runs three replicas, each on its own node of a cluster. Each payment has three notifications, so that nodes
// settle the same order at the same time and the cluster refuses all but one of the transactions at their commit. A node is
// killed and restarted, and a replica is killed and restarted.
func TestGalera(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{Latency: 5 * time.Millisecond})
	started := time.Now()
	cluster := testenv.StartGalera(t, 3)
	t.Logf("the cluster is up after %s", time.Since(started).Round(time.Millisecond))
	s.UseDatabase(cluster.Nodes[0])
	s.Extra["Logging__LogLevel__Default"] = "Information"
	s.Extra["Mns__BatchSize"] = "2" // so that all replicas receive some of every burst
	stream := box.Ordinary(300)
	for _, m := range stream {
		if err := sandbox.AddOrders(s.DB, *m.Order); err != nil {
			t.Fatal(err)
		}
	}
	begin := func(i int) *box.Process {
		return s.Start(append(s.ConnectTo(cluster.Nodes[i], ""), fmt.Sprintf("Host__Instance=replica-%d", i))...)
	}
	var replicas []*box.Process
	for i := range cluster.Nodes {
		replicas = append(replicas, begin(i))
	}
	for _, p := range replicas {
		s.Eventually(30*time.Second, "all of them run", func() bool { return len(p.Lines("started")) > 0 })
	}

	back := make(chan error, 1)
	load := time.NewTicker(20 * time.Millisecond)
	defer load.Stop()
	for i, m := range stream {
		<-load.C
		s.MNS.Put(box.NotifyQueue, m.Body, m.Body, m.Body)
		switch i {
		case 60:
			cluster.Nodes[1].Kill()
			go func() { back <- cluster.Nodes[1].Start() }()
		case 120:
			replicas[2].Kill()
			replicas[2] = begin(2)
		case 40, 180, 240:
			s.MNS.Inject(mnsserver.Fault{Times: 5, Duplicate: true})
			s.MNS.ShiftClock(31 * time.Second) // makes received messages visible again
		}
	}
	if err := <-back; err != nil {
		t.Fatal(err)
	}
	cluster.WaitSynced(t, 1)
	checkBursts(s, cluster)
	if out, errOut, _ := s.Try("doctor"); !strings.Contains(out, "Galera: Synced, 3 nodes") {
		t.Errorf("doctor does not report the cluster:\n%s%s", out, errOut)
	}
	sent := time.Now()
	s.Eventually(60*time.Second, "everything is done", func() bool {
		return s.Count("SELECT COUNT(DISTINCT ref) FROM jdpay_job WHERE kind = 'settle'") >= len(stream) && s.Unfinished() == 0 && s.Drained()
	})
	t.Logf("done %s after the last message", time.Since(sent).Round(time.Millisecond))
	s.CheckSettledOnce(stream)
	checkSameOnAll(s, cluster)
	for _, p := range replicas {
		p.Stop()
	}
}

// checkBursts stores the same jobs on all nodes at the same time, among others of one node alone, as replicas do after an outage.
// Every one of them must be stored once.
func checkBursts(s *box.Company, cluster *testenv.Galera) {
	s.T.Helper()
	const bursts, size = 10, 40
	var stores []*job.MySQL
	for _, node := range cluster.Nodes {
		cfg, err := mysql.ParseDSN(node.DSN(s.Schema))
		if err != nil {
			s.T.Fatal(err)
		}
		db, err := sqldb.Open(cfg, 4)
		if err != nil {
			s.T.Fatal(err)
		}
		s.T.Cleanup(func() { db.Close() })
		stores = append(stores, job.NewMySQL(db))
	}
	want := map[string]bool{}
	for burst := range bursts {
		var nodes sync.WaitGroup
		for n, store := range stores {
			rows := make([]job.NewRow, size)
			for i := range rows {
				key := fmt.Sprintf("burst:%d:%d", burst, i)
				if i%3 > 0 {
					key += fmt.Sprint(" of node ", n)
				}
				rows[i], want[key] = job.NewRow{Kind: "burst", Key: key, Args: []byte("{}")}, true
			}
			rand.Shuffle(size, func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
			nodes.Go(func() {
				var err error
				for range 10 { // a transaction that the cluster refuses is tried again, as a redelivery would
					if _, err = store.Insert(s.T.Context(), nil, "burst", rows); err == nil {
						return
					}
				}
				s.T.Errorf("node %d: %v", n, err)
			})
		}
		nodes.Wait()
	}
	if n := s.Count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'burst'"); n != len(want) {
		s.T.Errorf("%d of %d jobs of the bursts are stored", n, len(want))
	}
	if _, err := s.DB.Exec("DELETE FROM jdpay_job WHERE kind = 'burst'"); err != nil {
		s.T.Fatal(err)
	}
}

// checkSameOnAll checks that every node has the same jobs and orders, and logs how often a node refused a transaction
// because of another node's.
func checkSameOnAll(s *box.Company, cluster *testenv.Galera) {
	s.T.Helper()
	const content = `SELECT CONCAT_WS(' ', id, unique_key, state, outcome, try_count) FROM jdpay_job WHERE unique_key NOT LIKE 'worker:%'
		UNION ALL SELECT CONCAT_WS(' ', order_id, is_paid, external_id) FROM kernelorder_charge ORDER BY 1`
	first := s.DB
	defer func() { s.DB = first }()
	var want, conflicts []string
	for i, node := range cluster.Nodes {
		s.DB = node.Open(s.T, s.Schema)
		s.DB.SetMaxOpenConns(1)
		if _, err := s.DB.Exec("SET SESSION wsrep_sync_wait = 1"); err != nil { // wait until this node has applied the cluster's writes
			s.T.Fatal(err)
		}
		got := s.Strings(content)
		if i == 0 {
			want = got
		} else if diff := cmp.Diff(want, got); diff != "" {
			s.T.Errorf("node %d has other rows than the first one (-first +this):\n%s", i, diff)
		}
		conflicts = slices.Concat(conflicts, s.Strings("SELECT variable_value FROM information_schema.global_status WHERE variable_name IN ('wsrep_local_cert_failures', 'wsrep_local_bf_aborts') ORDER BY 1"))
	}
	s.T.Logf("transactions refused or aborted by other nodes': %v", conflicts)
}
