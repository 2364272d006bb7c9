package redisstore

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"jdpay-listener/internal/testenv"
)

// TestACL uses Redis as the users of deploy/acl/redis.acl, and tries commands that they may not use.
func TestACL(t *testing.T) {
	const password = "only-for-tests"
	text, err := os.ReadFile("../../deploy/acl/redis.acl")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(password))
	digest := hex.EncodeToString(sum[:])
	rules := strings.NewReplacer("{sha256 of the password of jdpay}", digest, "{sha256 of the password of jdpay_wait}", digest).Replace(string(text))
	for name, tt := range map[string]struct {
		more string // further rights, from deploy/acl/README.md
		args []string
	}{
		"one server": {},
		"a cluster":  {" +cluster|slots +cluster|shards +command", []string{"--cluster-enabled", "yes", "--cluster-config-file", filepath.Join(t.TempDir(), "nodes.conf")}},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "users.acl")
			own := strings.ReplaceAll(rules, "+publish\n", "+publish"+tt.more+"\n") + "user admin on nopass ~* &* +@all\n"
			if err := os.WriteFile(file, []byte(own), 0o600); err != nil {
				t.Fatal(err)
			}
			server := testenv.RedisServer(t, append(tt.args, "--aclfile", file)...)
			addrs, db := []string{server.Addr()}, 5
			if tt.args != nil {
				addrs, db = append(addrs, server.Addr()), 0
			}
			as := func(user, password string) *redis.Client {
				c := redis.NewClient(&redis.Options{Addr: server.Addr(), Username: user, Password: password, DB: db, MaxRetries: -1})
				t.Cleanup(func() { c.Close() })
				return c
			}
			admin := as("admin", "any")
			if tt.args != nil {
				if err := admin.Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", 0, 16383).Err(); err != nil {
					t.Fatal(err)
				}
				testenv.Eventually(t, wait, "the cluster to be up", func() bool {
					return strings.Contains(admin.ClusterInfo(t.Context()).Val(), "cluster_state:ok")
				})
			}
			store := newStore(t, Options{Addrs: addrs, Username: "jdpay", Password: password, DB: db, ClientName: "jdpay-listener"})
			if err := store.Ping(t.Context()); err != nil {
				t.Fatal(err)
			}
			waiter := as("jdpay_wait", password)
			store.PutCabinets(t.Context(), bySerial(cabinets...))
			if got := store.Cabinets(t.Context(), []string{"D1", "D2"}); len(got) != 2 {
				t.Errorf("cached cabinets: %v", got)
			}
			sub := waiter.Subscribe(t.Context(), "jdpay:reply:m1")
			defer sub.Close()
			if _, err := sub.Receive(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := store.PublishReply(t.Context(), "m1", []byte("reply"), time.Minute); err != nil {
				t.Fatal(err)
			}
			if got, err := waiter.Get(t.Context(), "jdpay:reply:m1").Result(); got != "reply" || err != nil {
				t.Errorf("the waiting service reads %q, %v", got, err)
			}
			if m, err := sub.ReceiveMessage(t.Context()); err != nil || m.Payload != "reply" {
				t.Errorf("the waiting service receives %v, %v", m, err)
			}

			if denied := admin.Do(t.Context(), "ACL", "LOG").String(); !strings.HasSuffix(denied, "[]") {
				t.Errorf("the program used a command that it may not use: %s", denied)
			}

			for user, commands := range map[string][]string{
				"jdpay":      {"FLUSHALL", "KEYS *", "CONFIG GET *", "ACL LIST", "EVAL x 0", "DEL jdpay:device:D1", "GET other", "SETEX other 1 x", "PUBLISH other x", "SUBSCRIBE jdpay:reply:m1", "MONITOR", "CLIENT LIST"},
				"jdpay_wait": {"FLUSHALL", "SETEX jdpay:reply:m1 1 x", "PUBLISH jdpay:reply:m1 x", "GET jdpay:device:D1", "SUBSCRIBE other"},
				"default":    {"PING"},
			} {
				for _, command := range commands {
					var args []any
					for word := range strings.FieldsSeq(command) {
						args = append(args, word)
					}
					err := as(user, password).Do(t.Context(), args...).Err()
					if err == nil || !strings.HasPrefix(err.Error(), "NOPERM") && !strings.HasPrefix(err.Error(), "WRONGPASS") {
						t.Errorf("%s may %s: %v", user, command, err)
					}
				}
			}
		})
	}
}
