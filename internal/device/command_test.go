package device

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestCommandPayload(t *testing.T) {
	got, err := json.Marshal(command(123, "D1"))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"PostOrderId":123,"DeviceGroupSN":"D1","DeviceType":6,"CellSN":"A01","MessageId":"pay-complete-123","IssuedAt":1763640000000,"ExpireAt":1763640900000}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("payload (-contract +got):\n%s", diff)
	}
}

func TestMessageID(t *testing.T) {
	t.Run("is parsed for every order", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			want := rapid.Int64().Draw(t, "order")
			if got, ok := ParseMessageID(MessageID(want)); !ok || got != want {
				t.Fatalf("ParseMessageID(%q) = %d, %v", MessageID(want), got, ok)
			}
		})
	})
	t.Run("other texts are not parsed", func(t *testing.T) {
		for _, id := range []string{
			"", "123", "pay-complete-", "pay-complete-x", "pay-complete-0123", "pay-complete-+1", "pay-complete-1 ",
			"PAY-COMPLETE-1", "pay-complete-9223372036854775808", "pay-complete--0", "xpay-complete-1",
		} {
			if got, ok := ParseMessageID(id); ok || got != 0 {
				t.Errorf("ParseMessageID(%q) = %d, %v; want 0, false", id, got, ok)
			}
		}
	})
}

func TestTopic(t *testing.T) {
	for template, want := range map[string]string{
		"device/{DeviceGroupSN}/pay-complete":            "device/D1/pay-complete",
		"{DeviceGroupSN}":                                "D1",
		"t/{DeviceType}/{DeviceGroupSN}/o/{PostOrderId}": "t/6/D1/o/123",
		"cabinets":                         "cabinets",
		"柜/{DeviceGroupSN}{DeviceGroupSN}": "柜/D1D1",
	} {
		parsed, err := parseTopic(template)
		if err != nil {
			t.Errorf("parseTopic(%q): %v", template, err)
			continue
		}
		c := command(123, "D1")
		if got, err := parsed.topic(&c); err != nil || got != want {
			t.Errorf("topic of %q = %q, %v; want %q", template, got, err, want)
		}
	}
	for _, template := range []string{"", "a/+/b", "a/#", "a/{Serial}", "a/{DeviceGroupSN", "a/DeviceGroupSN}", "a/{{DeviceGroupSN}", "a\x00b", "a\xff", "{}", "{deviceGroupSN}"} {
		if _, err := parseTopic(template); err == nil {
			t.Errorf("parseTopic(%q) accepted it", template)
		}
	}
}

func TestSerialsThatNoTopicCanContain(t *testing.T) {
	parsed, err := parseTopic("{DeviceGroupSN}/pay-complete")
	if err != nil {
		t.Fatal(err)
	}
	for name, serial := range map[string]string{
		"empty": "", "plus": "D+1", "hash": "#", "slash": "a/b", "nul": "a\x00", "newline": "a\n", "delete": "\x7f", "c1": "a\u0085",
		"non-character": "a\uFFFF", "non-character block": "\uFDD0", "last plane": "\U0010FFFE", "not utf-8": "a\xff", "system": "$SYS", "too long": strings.Repeat("x", maxTopic),
	} {
		t.Run(name, func(t *testing.T) {
			c := command(1, serial)
			_, err := parsed.topic(&c)
			var invalid *InvalidTopicError
			if !errors.As(err, &invalid) {
				t.Fatalf("got %v, want an *InvalidTopicError", err)
			}
			if invalid.DeviceGroupSN != serial || len(err.Error()) > 500 {
				t.Errorf("error names %.80q in %d bytes", invalid.DeviceGroupSN, len(err.Error()))
			}
		})
	}
	for _, serial := range []string{"D1", "JD-01_x.9", "柜机一号", "with space", "a$b", "\uFFFD"} {
		c := command(1, serial)
		if got, err := parsed.topic(&c); err != nil || got != serial+"/pay-complete" {
			t.Errorf("serial %q gave %q, %v", serial, got, err)
		}
	}
}

func TestParseBroker(t *testing.T) {
	for name, tt := range map[string]struct {
		server string
		port   int
		tls    bool
		want   string
		secure bool
	}{
		"host":                 {"emq.example.com", 0, false, "emq.example.com:1883", false},
		"host and Port":        {"emq.example.com", 2883, false, "emq.example.com:2883", false},
		"the same port twice":  {"emq.example.com:1884", 1884, false, "emq.example.com:1884", false},
		"surrounding spaces":   {" tcp://10.0.0.1:1883/ ", 0, false, "10.0.0.1:1883", false},
		"mqtt":                 {"mqtt://10.0.0.1", 0, false, "10.0.0.1:1883", false},
		"TLS.Enabled":          {"10.0.0.1", 0, true, "10.0.0.1:1883", true},
		"TLS.Enabled and Port": {"10.0.0.1", 1883, true, "10.0.0.1:1883", true},
		"ssl":                  {"ssl://emq", 0, false, "emq:8883", true},
		"mqtts with a port":    {"mqtts://emq:9999", 0, false, "emq:9999", true},
		"tls":                  {"tls://emq", 0, false, "emq:8883", true},
		"IPv6":                 {"::1", 0, false, "[::1]:1883", false},
		"IPv6 in brackets":     {"[::1]:1884", 0, false, "[::1]:1884", false},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := Options{Server: tt.server, Port: tt.port, TLS: TLS{Enabled: tt.tls}}.parseBroker()
			if err != nil || b.addr != tt.want || b.tls.Enabled != tt.secure {
				t.Errorf("parseBroker(%q, %d, %v) = %s, tls %v, %v; want %s, tls %v", tt.server, tt.port, tt.tls, b.addr, b.tls.Enabled, err, tt.want, tt.secure)
			}
		})
	}
	for _, server := range []string{"", "tcp://", "ws://emq:80", "emq:port", "emq:0", "emq:70000", "tcp://emq/path", "a b", "tcp://user:hunter2@emq:1883", "tcp://user:hunter2@emq:x"} {
		_, err := Options{Server: server}.parseBroker()
		if err == nil {
			t.Errorf("parseBroker(%q) accepted it", server)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("parseBroker(%q) shows the password: %v", server, err)
		}
	}
}

func TestNewSessionRefusesInvalidOptions(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"no server":        func(o *Options) { o.Server = "" },
		"two ports":        func(o *Options) { o.Server, o.Port = "emq:1884", 1885 },
		"a negative port":  func(o *Options) { o.Port = -1 },
		"no client id":     func(o *Options) { o.ClientID = "" },
		"no user":          func(o *Options) { o.Username, o.Password = "", "p" },
		"a wildcard topic": func(o *Options) { o.Topic = "device/+/x" },
		"missing CA file":  func(o *Options) { o.TLS = TLS{Enabled: true, CAFile: "/does/not/exist.pem"} },
		"half a key pair":  func(o *Options) { o.TLS = TLS{Enabled: true, CertFile: "/does/not/exist.pem"} },
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t, "127.0.0.1", 1)
			change(&o)
			if _, err := NewSession(o); err == nil {
				t.Error("NewSession accepted it")
			}
		})
	}
}
