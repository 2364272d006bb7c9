package redisstore

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"jdpay-listener/internal/testenv"
)

// TestCheckRights checks users with different rights, and requires that no key is left.
func TestCheckRights(t *testing.T) {
	const all = "~jdpay:device:* ~jdpay:reply:* &jdpay:reply:* +ping +select "
	users := map[string]struct {
		rules string
		want  Rights // prefixes
	}{
		"all":       {all + "+get +setex +publish", Rights{}},
		"silent":    {all + "+get +setex", Rights{Publish: "PUBLISH: NOPERM"}},
		"reader":    {all + "+get", Rights{Cache: "SETEX: NOPERM", Reply: "SETEX: NOPERM", Publish: "PUBLISH: NOPERM"}},
		"elsewhere": {"~jdpay:device:* +get +setex +publish", Rights{Reply: "SETEX: NOPERM", Publish: "PUBLISH: NOPERM"}},
	}
	var file strings.Builder
	file.WriteString("user default on nopass ~* &* +@all\n")
	for name, user := range users {
		file.WriteString("user " + name + " on >secret resetchannels -@all " + user.rules + "\n")
	}
	path := filepath.Join(t.TempDir(), "users.acl")
	if err := os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	server := testenv.RedisServer(t, "--aclfile", path)
	for name, tt := range users {
		t.Run(name, func(t *testing.T) {
			store := newStore(t, Options{Addrs: []string{server.Addr()}, Username: name, Password: "secret"})
			got, err := store.CheckRights(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range [][2]string{{got.Cache, tt.want.Cache}, {got.Reply, tt.want.Reply}, {got.Publish, tt.want.Publish}} {
				if !strings.HasPrefix(r[0], r[1]) || r[1] == "" && r[0] != "" {
					t.Errorf("got %q, want %q", r[0], r[1])
				}
			}
		})
	}
	admin := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer admin.Close()
	if keys := admin.Keys(t.Context(), "*").Val(); len(keys) != 0 {
		t.Errorf("left behind: %v", keys)
	}
	t.Run("a replica", func(t *testing.T) {
		if err := admin.ReplicaOf(t.Context(), "127.0.0.1", "1").Err(); err != nil {
			t.Fatal(err)
		}
		got, err := newStore(t, Options{Addrs: []string{server.Addr()}}).CheckRights(t.Context())
		if err != nil || !strings.Contains(got.Reply, "READONLY") {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("no server", func(t *testing.T) {
		server.Stop()
		if _, err := newStore(t, Options{Addrs: []string{server.Addr()}}).CheckRights(t.Context()); err == nil {
			t.Error("no error")
		}
	})
}
