package redisstore

import (
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"jdpay-listener/internal/testenv"
)

// TestClientName: a name of the connection, which is only for people, never puts Redis out of use, whatever its characters
// and whether or not the user may set it.
func TestClientName(t *testing.T) {
	server := testenv.RedisServer(t)
	admin := client(t, &redis.UniversalOptions{Addrs: []string{server.Addr()}})
	if err := admin.Do(t.Context(), "ACL", "SETUSER", "nameless", "on", ">pw", "~*", "&*", "+@all", "-client").Err(); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ options, shown string }{
		"a plain name":               {"name=jdpay-listener", "name=jdpay-listener "},
		"blanks and Chinese":         {"name=JD 支付 listener", "name=JDlistener "},
		"nothing is left":            {"name=支付 监听", "name= "},
		"the user may not set it":    {"name=refused,user=nameless,password=pw", "user=nameless "},
		"both, and another database": {"name=取 x,user=nameless,password=pw,defaultDatabase=3", "db=3 "},
	} {
		t.Run(name, func(t *testing.T) {
			o, _, err := ParseConnectionString(server.Addr() + "," + tt.options)
			if err != nil {
				t.Fatal(err)
			}
			s := newStore(t, o)
			if err := s.Ping(t.Context()); err != nil {
				t.Fatal(err)
			}
			if list := admin.ClientList(t.Context()).Val(); !strings.Contains(list, tt.shown) {
				t.Errorf("no connection with %q:\n%s", tt.shown, list)
			}
		})
	}
}
