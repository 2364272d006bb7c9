package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jdpay-listener/e2e/box"

	"github.com/redis/go-redis/v9"

	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/jdserver"
)

// behaviours are those of cabinets by the last digit of the order's id; all others confirm. (No ordinary order's id ends in
// 4 or 9.)
var behaviours = map[int64]string{0: "confirms", 2: "refuses", 3: "never replies", 6: "replies twice", 8: "is busy first"}

// answeredAtOnce is how many of ten payments JD answers synchronously as well.
const answeredAtOnce = 3

// behave replies to a command as its cabinet does.
func behave(s *box.Company, r box.Received) {
	var order int64
	fmt.Sscanf(fmt.Sprint(r.Payload["MessageId"]), "pay-complete-%d", &order)
	switch behaviours[order%10] {
	case "refuses":
		s.Reply(r, "17", "door is jammed")
	case "never replies":
	case "replies twice":
		s.Reply(r, "0", "ok")
		s.Reply(r, "0", "ok")
	case "is busy first":
		s.Reply(r, "BUSY", "opening")
		s.Reply(r, "0", "ok")
	default:
		s.Reply(r, "0", "ok")
	}
}

// TestRepliesEndToEnd has two replicas send commands through a real broker. Either of them receives the replies, also to the
// other's commands, and publishes each in Redis.
func TestRepliesEndToEnd(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	s.Extra = map[string]string{
		"SyncReply__QueueName": box.ReplyQueue, "SyncReply__PendingCodes__0": "BUSY", "Mqtt__RequireReply": "true", "Mqtt__ReplyTimeout": "1s", "Mqtt__CommandTtl": "15s",
	}
	s.Cabinet.OnCommand(func(r box.Received) { behave(s, r) })
	subscriber := subscribeToRedis(s)
	stream := box.Ordinary(150)
	for _, m := range stream {
		if err := sandbox.AddOrders(s.DB, *m.Order); err != nil {
			t.Fatal(err)
		}
	}
	replicas := []*box.Process{s.Start("Host__Instance=a"), s.Start("Host__Instance=b")}
	for i, m := range stream {
		if i%10 < answeredAtOnce {
			s.MNS.Put(box.ReplyQueue, m.Body) // JD's synchronous answer races the notification
		}
		s.MNS.Put(box.NotifyQueue, m.Body)
		if i%10 == 9 {
			s.Eventually(10*time.Second, "the queue is empty", s.Drained) // so that both replicas receive messages
		}
	}
	forged := strings.Replace(sandbox.Reply{MessageID: "pay-complete-1003", Device: "D", Code: "0"}.Message(box.MD5Key), `"sign":"`, `"sign":"0`, 1)
	s.MNS.Put(box.ReplyQueue, forged, "junk")
	s.Eventually(80*time.Second, "every command has come to its end", func() bool {
		return s.Count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'pay-complete'") == len(stream) && s.Unfinished() == 0 && s.Drained()
	})

	if settled := s.Count("SELECT COUNT(*) FROM jdpay_job WHERE outcome = 'settled'"); settled != len(stream) {
		t.Errorf("%d payments settled, want %d", settled, len(stream))
	}
	if copies := s.Count("SELECT COUNT(*) FROM jdpay_job WHERE outcome = 'duplicate'"); copies != len(stream)*answeredAtOnce/10 {
		t.Errorf("%d copies, want %d", copies, len(stream)*answeredAtOnce/10)
	}
	if n := s.Count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'reply' AND outcome = 'settled'"); n == 0 {
		t.Error("no synchronous answer was settled first: the test proves nothing about the race")
	}
	met := map[string]int{}
	for _, m := range stream {
		id := m.Order.ID
		behaviour := behaviours[id%10]
		met[behaviour]++
		want := map[string]string{"refuses": "parked refused", "never replies": "parked expired"}[behaviour]
		if want == "" {
			want = "done confirmed"
		}
		if got := strings.Join(s.Strings("SELECT CONCAT(state, ' ', outcome) FROM jdpay_job WHERE unique_key = ?", fmt.Sprint("pay-complete:", id)), ""); got != want {
			t.Errorf("order %d, whose cabinet %s: %s, want %s", id, behaviour, got, want)
		}
		commands := s.Cabinet.Commands(fmt.Sprint("pay-complete-", id))
		if behaviour == "never replies" && len(commands) < 3 || behaviour != "never replies" && len(commands) != 1 {
			t.Errorf("order %d, whose cabinet %s: %d commands", id, behaviour, len(commands))
		}
		for _, c := range commands[1:] {
			if fmt.Sprint(c.Payload) != fmt.Sprint(commands[0].Payload) {
				t.Errorf("order %d: sent again as %v after %v", id, c.Payload, commands[0].Payload)
			}
		}
		if err := subscriber.check(behaviour, fmt.Sprint("pay-complete-", id)); err != nil {
			t.Errorf("order %d, whose cabinet %s: %v", id, behaviour, err)
		}
	}
	for _, behaviour := range behaviours {
		if met[behaviour] == 0 {
			t.Errorf("no cabinet %s: the test proves nothing about that", behaviour)
		}
	}
	if got := s.Strings("SELECT outcome FROM jdpay_job WHERE kind = 'reply' AND state = 'rejected' ORDER BY outcome"); fmt.Sprint(got) != "[bad_signature malformed]" {
		t.Errorf("rejected replies %v", got)
	}
	s.Reply(s.Cabinet.Commands("pay-complete-1003")[0], "0", "too late")
	s.Eventually(10*time.Second, "a late reply is kept", func() bool {
		return fmt.Sprint(s.Strings("SELECT outcome FROM jdpay_job WHERE kind = 'reply' AND ref = 'R1003'")) == "[late]"
	})
	if out := s.Run("trace", "R1003"); !strings.Contains(out, "late") {
		t.Errorf("trace does not show the late reply:\n%s", out)
	}
	checkCrossed(s, replicas)
	for _, p := range replicas {
		for _, line := range p.Lines("a cabinet did not open") {
			if line["alert"] != true || line["order_no"] == "" || line["outcome"] == "" {
				t.Errorf("an alert without its order or outcome: %v", line)
			}
		}
		p.Stop()
	}
	if out, errOut, code := s.Try("audit"); code != 0 {
		t.Errorf("audit: %s%s", out, errOut)
	}
}

// checkCrossed checks that each replica concluded commands of the other.
func checkCrossed(s *box.Company, replicas []*box.Process) {
	s.T.Helper()
	settled := make([]map[any]bool, len(replicas))
	for i, p := range replicas {
		settled[i] = map[any]bool{}
		for _, line := range p.Lines("job done") {
			if line["kind"] == "settle" && line["outcome"] == "settled" {
				settled[i][line["order_no"]] = true
			}
		}
	}
	for i, p := range replicas {
		crossed := 0
		for _, line := range p.Lines("job done") {
			if line["kind"] == "reply" && line["outcome"] == "confirmed" && settled[1-i][line["order_no"]] {
				crossed++
			}
		}
		if crossed == 0 {
			s.T.Errorf("replica %d concluded no command of the other", i)
		}
	}
}

// redisSubscriber is another service that waits for replies.
type redisSubscriber struct {
	client    *redis.Client
	mu        sync.Mutex
	published map[string][]string // replies by message id
}

func subscribeToRedis(s *box.Company) *redisSubscriber {
	s.T.Helper()
	e := &redisSubscriber{client: redis.NewClient(&redis.Options{Addr: s.Redis.Addr()}), published: map[string][]string{}}
	s.T.Cleanup(func() { e.client.Close() })
	sub := e.client.PSubscribe(s.T.Context(), "jdpay:reply:*")
	if _, err := sub.Receive(s.T.Context()); err != nil {
		s.T.Fatal(err)
	}
	go func() {
		for m := range sub.Channel() {
			e.mu.Lock()
			id := strings.TrimPrefix(m.Channel, "jdpay:reply:")
			e.published[id] = append(e.published[id], m.Payload)
			e.mu.Unlock()
		}
	}()
	return e
}

// check returns an error unless the cabinet's replies were stored and published.
func (e *redisSubscriber) check(behaviour, id string) error {
	e.mu.Lock()
	published := slices.Clone(e.published[id])
	e.mu.Unlock()
	want := map[string]int{"never replies": 0, "replies twice": 2, "is busy first": 2}
	n, ok := want[behaviour]
	if !ok {
		n = 1
	}
	if len(published) != n {
		return fmt.Errorf("%d replies were published, want %d: %q", len(published), n, published)
	}
	kept, err := e.client.Get(context.Background(), "jdpay:reply:"+id).Result()
	switch {
	case n == 0 && err != redis.Nil:
		return fmt.Errorf("a reply is kept: %q, %v", kept, err)
	case n > 0 && (err != nil || !slices.Contains(published, kept)):
		return fmt.Errorf("kept %q, %v; published %q", kept, err, published)
	}
	if n > 0 {
		if ttl := e.client.TTL(context.Background(), "jdpay:reply:"+id).Val(); ttl <= 0 || ttl > 5*time.Minute {
			return fmt.Errorf("kept for %s", ttl)
		}
	}
	return nil
}
