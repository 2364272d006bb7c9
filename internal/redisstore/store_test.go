package redisstore

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"jdpay-listener/internal/kernel"
	"jdpay-listener/internal/testenv"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var discard = slog.New(slog.DiscardHandler)

func newStore(t testing.TB, o Options) *Store {
	t.Helper()
	if o.Log == nil {
		o.Log = discard
	}
	o.ReplyKeyPrefix, o.CabinetTTL = "jdpay:reply:", time.Minute
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

var cabinets = []kernel.Cabinet{cabinet("D1", 11, 6), cabinet("D2", 22, 1), cabinet("柜 3", 33, 0)}

func cabinet(serial string, id int64, kind int) kernel.Cabinet {
	return kernel.Cabinet{DeviceSN: serial, MainDeviceID: id, DeviceType: kind}
}

func bySerial(cabinets ...kernel.Cabinet) map[string]kernel.Cabinet {
	m := map[string]kernel.Cabinet{}
	for _, c := range cabinets {
		m[c.DeviceSN] = c
	}
	return m
}

func TestCabinets(t *testing.T) {
	server := miniredis.RunT(t)
	s := newStore(t, Options{Addrs: []string{server.Addr()}})
	ctx := t.Context()
	want := func(t *testing.T, want map[string]kernel.Cabinet, serials ...string) {
		t.Helper()
		if diff := cmp.Diff(want, s.Cabinets(ctx, serials)); diff != "" {
			t.Errorf("groups (-want +got):\n%s", diff)
		}
	}
	t.Run("unknown at first", func(t *testing.T) { want(t, bySerial(), "D1", "D2") })
	t.Run("cached ones are found, others are missing", func(t *testing.T) {
		s.PutCabinets(ctx, bySerial(cabinets...))
		want(t, bySerial(cabinets...), "nobody", "D1", "柜 3", "D2", "nobody else")
	})
	t.Run("none asked for, none cached", func(t *testing.T) {
		want(t, bySerial())
		s.PutCabinets(ctx, nil)
	})
	t.Run("replaced", func(t *testing.T) {
		s.PutCabinets(ctx, bySerial(cabinet("D1", 12, 6)))
		want(t, bySerial(cabinet("D1", 12, 6)), "D1")
	})
	t.Run("found by the serial of the lookup, with their own serial", func(t *testing.T) {
		asked := map[string]kernel.Cabinet{"d1": cabinets[0], "D1 ": cabinets[0]}
		s.PutCabinets(ctx, asked)
		want(t, asked, "d1", "D1 ")
	})
	t.Run("entry of an earlier version", func(t *testing.T) {
		if err := server.Set("jdpay:device:D9", `{"main_device_id":9,"device_type":6}`); err != nil {
			t.Fatal(err)
		}
		want(t, bySerial(cabinet("D9", 9, 6)), "D9")
	})
	t.Run("key and value as documented", func(t *testing.T) {
		got, err := server.Get("jdpay:device:D2")
		if err != nil || got != `{"device_sn":"D2","main_device_id":22,"device_type":1}` {
			t.Errorf("got %q, %v", got, err)
		}
	})
	t.Run("an invalid value is ignored and overwritten", func(t *testing.T) {
		if err := server.Set("jdpay:device:D1", "not json"); err != nil {
			t.Fatal(err)
		}
		want(t, bySerial(cabinets[1]), "D1", "D2")
		s.PutCabinets(ctx, bySerial(cabinets...))
		want(t, bySerial(cabinets...), "D1", "D2", "柜 3")
	})
	t.Run("expired", func(t *testing.T) {
		server.FastForward(59 * time.Second)
		want(t, bySerial(cabinets...), "D1", "D2", "柜 3")
		server.FastForward(2 * time.Second)
		want(t, bySerial(), "D1", "D2", "柜 3")
	})
}

func TestPublishReply(t *testing.T) {
	server := miniredis.RunT(t)
	s := newStore(t, Options{Addrs: []string{server.Addr()}})
	const name, reply = "jdpay:reply:pay-complete-123", `{"messageId":"pay-complete-123","code":"0"}`
	waiter := server.NewSubscriber()
	defer waiter.Close()
	waiter.Subscribe(name)
	published := make(chan miniredis.PubsubMessage, 1)
	go func() { published <- <-waiter.Messages() }() // miniredis answers PUBLISH only when the message is read

	if err := s.PublishReply(t.Context(), "pay-complete-123", []byte(reply), 5*time.Minute); err != nil {
		t.Fatal(err)
	}
	select {
	case m := <-published:
		if m.Channel != name || m.Message != reply {
			t.Errorf("published %+v", m)
		}
	case <-time.After(wait):
		t.Error("nothing was published")
	}
	if got, err := server.Get(name); err != nil || got != reply {
		t.Errorf("kept %q, %v", got, err)
	}
	if ttl := server.TTL(name); ttl != 5*time.Minute {
		t.Errorf("kept for %s", ttl)
	}
}

func TestCredentials(t *testing.T) {
	server := miniredis.RunT(t)
	server.RequireUserAuth("listener", "hunter2")
	t.Run("right", func(t *testing.T) {
		if err := newStore(t, Options{Addrs: []string{server.Addr()}, Username: "listener", Password: "hunter2", DB: 3}).Ping(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("wrong: an outage, logged without the password", func(t *testing.T) {
		var log testenv.Buffer
		s := newStore(t, Options{Addrs: []string{server.Addr()}, Username: "listener", Password: "hunter3", Log: slog.New(slog.NewTextHandler(&log, nil))})
		err := s.Ping(t.Context())
		if err == nil || strings.Contains(err.Error()+log.String(), "hunter3") {
			t.Errorf("got %v, log:\n%s", err, log.String())
		}
		if !strings.Contains(log.String(), "redis down") {
			t.Errorf("log:\n%s", log.String())
		}
	})
}

const wait = 30 * time.Second

func BenchmarkCabinets(b *testing.B) {
	server := miniredis.RunT(b)
	s := newStore(b, Options{Addrs: []string{server.Addr()}})
	var serials []string
	for i := range 16 {
		serials = append(serials, fmt.Sprintf("D%d", i))
		s.PutCabinets(b.Context(), bySerial(cabinet(serials[i], int64(i), 6)))
	}
	b.ReportAllocs()
	for b.Loop() {
		if got := s.Cabinets(b.Context(), serials); len(got) != 16 {
			b.Fatal(len(got))
		}
	}
}
