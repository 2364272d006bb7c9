package redisstore

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"jdpay-listener/internal/testenv"
)

// roundTrip writes and reads cabinets and a reply.
func roundTrip(t *testing.T, s *Store, direct redis.UniversalClient) {
	t.Helper()
	ctx := t.Context()
	s.PutCabinets(ctx, bySerial(cabinets...))
	if diff := cmp.Diff(bySerial(cabinets...), s.Cabinets(ctx, []string{"D1", "D2", "nobody", "柜 3"})); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	waiter := direct.Subscribe(ctx, "jdpay:reply:m1")
	defer waiter.Close()
	if _, err := waiter.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.PublishReply(ctx, "m1", []byte("reply"), 5*time.Minute); err != nil {
		t.Fatal(err)
	}
	limited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if m, err := waiter.ReceiveMessage(limited); err != nil || m.Payload != "reply" {
		t.Errorf("published %v, %v", m, err)
	}
	if got, err := direct.Get(ctx, "jdpay:reply:m1").Result(); err != nil || got != "reply" {
		t.Errorf("kept %q, %v", got, err)
	}
	if ttl := direct.TTL(ctx, "jdpay:reply:m1").Val(); ttl < 4*time.Minute || ttl > 5*time.Minute {
		t.Errorf("kept for %s", ttl)
	}
}

func client(t *testing.T, o *redis.UniversalOptions) redis.UniversalClient {
	t.Helper()
	c := redis.NewUniversalClient(o)
	t.Cleanup(func() { c.Close() })
	return c
}

func TestRedis(t *testing.T) {
	server := testenv.RedisServer(t, "--requirepass", "hunter2")
	roundTrip(t,
		newStore(t, Options{Addrs: []string{server.Addr()}, Password: "hunter2", DB: 5, ClientName: "jdpay-listener"}),
		client(t, &redis.UniversalOptions{Addrs: []string{server.Addr()}, Password: "hunter2", DB: 5}))
}

func TestRestartOfRedis(t *testing.T) {
	server := testenv.RedisServer(t)
	s := newStore(t, Options{Addrs: []string{server.Addr()}})
	ctx := t.Context()
	s.PutCabinets(ctx, bySerial(cabinets...))
	server.Stop()

	began := time.Now()
	for range 1000 {
		if got := s.Cabinets(ctx, []string{"D1"}); got == nil || len(got) != 0 {
			t.Fatalf("got %v from a dead server", got)
		}
	}
	if took := time.Since(began); took > minRetryInterval {
		t.Errorf("1000 lookups took %s with a dead server", took)
	}
	if err := s.PublishReply(ctx, "m1", []byte("reply"), time.Minute); err == nil {
		t.Error("publishing to a dead server succeeded")
	}

	server.Start(t)
	if err := s.PublishReply(ctx, "m1", []byte("reply"), time.Minute); err != nil { // the job's next try
		t.Errorf("replies still fail after the restart: %v", err)
	}
	s.PutCabinets(ctx, bySerial(cabinets...)) // at once: the reply's success has ended the outage
	if got := s.Cabinets(ctx, []string{"D1"}); len(got) != 1 {
		t.Error("the cache is still not used after the restart")
	}
}

func TestLookupsEndAnOutage(t *testing.T) {
	server := testenv.RedisServer(t)
	s := newStore(t, Options{Addrs: []string{server.Addr()}})
	server.Stop()
	s.Cabinets(t.Context(), []string{"D1"})
	server.Start(t)
	testenv.Eventually(t, wait, "a successful lookup", func() bool {
		s.PutCabinets(t.Context(), bySerial(cabinets...))
		return len(s.Cabinets(t.Context(), []string{"D1"})) == 1
	})
}

// TestCluster has a single node, which refuses commands with keys of several slots as any cluster does.
func TestCluster(t *testing.T) {
	server := testenv.RedisServer(t, "--cluster-enabled", "yes", "--cluster-config-file", filepath.Join(t.TempDir(), "nodes.conf"))
	alone := client(t, &redis.UniversalOptions{Addrs: []string{server.Addr()}})
	if err := alone.Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, wait, "the cluster to be up", func() bool {
		return strings.Contains(alone.ClusterInfo(t.Context()).Val(), "cluster_state:ok")
	})
	if err := alone.MGet(t.Context(), "jdpay:device:D1", "jdpay:device:D2").Err(); err == nil {
		t.Fatal("this server accepts keys of several slots: the test proves nothing")
	}
	addrs := []string{server.Addr(), server.Addr()}
	roundTrip(t, newStore(t, Options{Addrs: addrs}), client(t, &redis.UniversalOptions{Addrs: addrs}))
}

func TestSentinel(t *testing.T) {
	master := testenv.RedisServer(t)
	sentinel := startSentinel(t, master)
	roundTrip(t,
		newStore(t, Options{Addrs: []string{sentinel}, MasterName: "main"}),
		client(t, &redis.UniversalOptions{Addrs: []string{master.Addr()}}))
}

// startSentinel starts a sentinel that watches the master by the name "main"; it ends with the test.
func startSentinel(t *testing.T, master *testenv.Redis) (addr string) {
	t.Helper()
	server, err := testenv.Binary("redis-server")
	if err != nil {
		t.Fatal(err)
	}
	port, err := testenv.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("bind 127.0.0.1\nport %d\nsentinel monitor main %s %d 1\n", port, master.Host, master.Port)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.Command(server, conf, "--sentinel")
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("sentinel: %s", out.String())
		}
	})
	addr = fmt.Sprintf("127.0.0.1:%d", port)
	watch := redis.NewSentinelClient(&redis.Options{Addr: addr})
	defer watch.Close()
	testenv.Eventually(t, wait, "the sentinel", func() bool { return watch.GetMasterAddrByName(t.Context(), "main").Err() == nil })
	return addr
}
