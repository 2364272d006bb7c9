package redisstore

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// waitForReply returns a cabinet's reply to the command with the message id, such as pay-complete-123, as soon as it is
// there, or ctx's error.
func waitForReply(ctx context.Context, client redis.UniversalClient, messageID string) (string, error) {
	name := "jdpay:reply:" + messageID // Redis:ReplyKeyPrefix
	sub := client.Subscribe(ctx, name)
	defer sub.Close()
	if _, err := sub.Receive(ctx); err != nil { // the subscription is in force from here on
		return "", err
	}
	// Look only now: a reply that came before the subscription is kept under the key.
	reply, err := client.Get(ctx, name).Result()
	if !errors.Is(err, redis.Nil) {
		return reply, err
	}
	m, err := sub.ReceiveMessage(ctx)
	if err != nil {
		return "", err
	}
	return m.Payload, nil
}

func TestWaitForReply(t *testing.T) {
	server := miniredis.RunT(t)
	s := newStore(t, Options{Addrs: []string{server.Addr()}})
	client := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer client.Close()
	publish := func(id, reply string) {
		t.Helper()
		if err := s.PublishReply(t.Context(), id, []byte(reply), time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("published before", func(t *testing.T) {
		publish("pay-complete-1", `{"code":"0"}`)
		if got, err := waitForReply(t.Context(), client, "pay-complete-1"); got != `{"code":"0"}` || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
	t.Run("published while waiting", func(t *testing.T) {
		type result struct {
			reply string
			err   error
		}
		done := make(chan result)
		go func() {
			reply, err := waitForReply(t.Context(), client, "pay-complete-2")
			done <- result{reply, err}
		}()
		for len(server.PubSubChannels("*")) == 0 {
			select {
			case r := <-done:
				t.Fatalf("it did not wait: %+v", r)
			case <-time.After(time.Millisecond):
			}
		}
		publish("pay-complete-2", `{"code":"17"}`)
		if r := <-done; r.reply != `{"code":"17"}` || r.err != nil {
			t.Errorf("got %+v", r)
		}
	})
	t.Run("never published", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if got, err := waitForReply(ctx, client, "pay-complete-3"); got != "" || err == nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
	t.Run("docs/replies.md shows this function", func(t *testing.T) {
		source, err := os.ReadFile("wait_example_test.go")
		if err != nil {
			t.Fatal(err)
		}
		doc, err := os.ReadFile("../../docs/replies.md")
		if err != nil {
			t.Fatal(err)
		}
		_, from, _ := strings.Cut(string(source), "\n// waitForReply returns")
		text, _, ok := strings.Cut(from, "\n}\n")
		if !ok || !strings.Contains(string(doc), "// waitForReply returns"+text+"\n}\n") {
			t.Error("docs/replies.md does not show waitForReply as it stands here")
		}
	})
}
