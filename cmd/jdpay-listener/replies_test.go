package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

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
func (s *site) behave(r received) {
	var order int64
	fmt.Sscanf(fmt.Sprint(r.Payload["MessageId"]), "pay-complete-%d", &order)
	switch behaviours[order%10] {
	case "refuses":
		s.reply(r, "17", "door is jammed")
	case "never replies":
	case "replies twice":
		s.reply(r, "0", "ok")
		s.reply(r, "0", "ok")
	case "is busy first":
		s.reply(r, "BUSY", "opening")
		s.reply(r, "0", "ok")
	default:
		s.reply(r, "0", "ok")
	}
}

// TestRepliesEndToEnd has two replicas send commands through a real broker. Either of them receives the replies, also to the
// other's commands, and publishes each in Redis.
func TestRepliesEndToEnd(t *testing.T) {
	t.Parallel()
	s := newSite(t, jdserver.Options{})
	s.extra = map[string]string{
		"SyncReply__QueueName": replyQueue, "SyncReply__PendingCodes__0": "BUSY", "Mqtt__RequireReply": "true", "Mqtt__ReplyTimeout": "1s", "Mqtt__CommandTtl": "6s",
	}
	s.cabinet.mu.Lock()
	s.cabinet.onCommand = s.behave
	s.cabinet.mu.Unlock()
	subscriber := s.subscribeToRedis()
	stream := ordinary(150)
	for _, m := range stream {
		if err := sandbox.AddOrders(s.db, *m.Order); err != nil {
			t.Fatal(err)
		}
	}
	replicas := []*process{s.start("Host__Instance=a"), s.start("Host__Instance=b")}
	for i, m := range stream {
		if i%10 < answeredAtOnce {
			s.mns.Put(replyQueue, m.Body) // JD's synchronous answer races the notification
		}
		s.mns.Put(notifyQueue, m.Body)
		if i%10 == 9 {
			s.eventually(10*time.Second, "the queue is empty", s.drained) // so that both replicas receive messages
		}
	}
	forged := strings.Replace(sandbox.Reply{MessageID: "pay-complete-1003", Device: "D", Code: "0"}.Message(md5Key), `"sign":"`, `"sign":"0`, 1)
	s.mns.Put(replyQueue, forged, "junk")
	s.eventually(40*time.Second, "every command has come to its end", func() bool {
		return s.count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'pay-complete'") == len(stream) && s.unfinished() == 0 && s.drained()
	})

	if settled := s.count("SELECT COUNT(*) FROM jdpay_job WHERE outcome = 'settled'"); settled != len(stream) {
		t.Errorf("%d payments settled, want %d", settled, len(stream))
	}
	if copies := s.count("SELECT COUNT(*) FROM jdpay_job WHERE outcome = 'duplicate'"); copies != len(stream)*answeredAtOnce/10 {
		t.Errorf("%d copies, want %d", copies, len(stream)*answeredAtOnce/10)
	}
	if n := s.count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'reply' AND outcome = 'settled'"); n == 0 {
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
		if got := strings.Join(s.strings("SELECT CONCAT(state, ' ', outcome) FROM jdpay_job WHERE unique_key = ?", fmt.Sprint("pay-complete:", id)), ""); got != want {
			t.Errorf("order %d, whose cabinet %s: %s, want %s", id, behaviour, got, want)
		}
		commands := s.cabinet.commands(fmt.Sprint("pay-complete-", id))
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
	if got := s.strings("SELECT outcome FROM jdpay_job WHERE kind = 'reply' AND state = 'rejected' ORDER BY outcome"); fmt.Sprint(got) != "[bad_signature malformed]" {
		t.Errorf("rejected replies %v", got)
	}
	s.reply(s.cabinet.commands("pay-complete-1003")[0], "0", "too late")
	s.eventually(10*time.Second, "a late reply is kept", func() bool {
		return fmt.Sprint(s.strings("SELECT outcome FROM jdpay_job WHERE kind = 'reply' AND ref = 'R1003'")) == "[late]"
	})
	if out := s.run("trace", "R1003"); !strings.Contains(out, "late") {
		t.Errorf("trace does not show the late reply:\n%s", out)
	}
	s.checkCrossed(replicas)
	for _, p := range replicas {
		for _, line := range p.lines("a cabinet did not open") {
			if line["alert"] != true || line["order_no"] == "" || line["outcome"] == "" {
				t.Errorf("an alert without its order or outcome: %v", line)
			}
		}
		p.stop()
	}
	if out, errOut, code := s.try("audit"); code != 0 {
		t.Errorf("audit: %s%s", out, errOut)
	}
}

// checkCrossed checks that each replica concluded commands of the other.
func (s *site) checkCrossed(replicas []*process) {
	s.t.Helper()
	settled := make([]map[any]bool, len(replicas))
	for i, p := range replicas {
		settled[i] = map[any]bool{}
		for _, line := range p.lines("job done") {
			if line["kind"] == "settle" && line["outcome"] == "settled" {
				settled[i][line["order_no"]] = true
			}
		}
	}
	for i, p := range replicas {
		crossed := 0
		for _, line := range p.lines("job done") {
			if line["kind"] == "reply" && line["outcome"] == "confirmed" && settled[1-i][line["order_no"]] {
				crossed++
			}
		}
		if crossed == 0 {
			s.t.Errorf("replica %d concluded no command of the other", i)
		}
	}
}

// redisSubscriber is another service that waits for replies.
type redisSubscriber struct {
	client    *redis.Client
	mu        sync.Mutex
	published map[string][]string // replies by message id
}

func (s *site) subscribeToRedis() *redisSubscriber {
	s.t.Helper()
	e := &redisSubscriber{client: redis.NewClient(&redis.Options{Addr: s.redis.Addr()}), published: map[string][]string{}}
	s.t.Cleanup(func() { e.client.Close() })
	sub := e.client.PSubscribe(s.t.Context(), "jdpay:reply:*")
	if _, err := sub.Receive(s.t.Context()); err != nil {
		s.t.Fatal(err)
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

// TestRepliesSurviveRedisAndKill stops Redis, and kills the daemon between keeping a reply and concluding the command: no
// reply is lost.
func TestRepliesSurviveRedisAndKill(t *testing.T) {
	t.Parallel()
	binary, err := crashBuild()
	if err != nil {
		t.Fatal(err)
	}
	s := crashSite(t, binary)
	s.redis.Stop()
	p := s.start("CRASHPOINT=reply matched")
	stream := ordinary(10)
	for _, m := range stream {
		if err := sandbox.AddOrders(s.db, *m.Order); err != nil {
			t.Fatal(err)
		}
		s.mns.Put(notifyQueue, m.Body)
	}
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		t.Fatal("the daemon did not reach the crash point")
	}
	if kept := s.count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'reply' AND state <> 'done'"); kept == 0 {
		t.Fatal("no reply was kept when the daemon was killed")
	}
	s.mns.ShiftClock(31 * time.Second)
	p = s.start()
	s.eventually(30*time.Second, "every command is confirmed, although Redis is down", func() bool {
		return s.count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'pay-complete' AND outcome = 'confirmed'") == len(stream)
	})
	if n := s.count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'reply-publish' AND state = 'done'"); n != 0 {
		t.Errorf("%d replies were published to a Redis that is down", n)
	}
	s.redis.Start(t)
	subscriber := redis.NewClient(&redis.Options{Addr: s.redis.Addr()})
	defer subscriber.Close()
	s.eventually(30*time.Second, "every reply is in Redis when it is back", func() bool {
		for _, m := range stream {
			if subscriber.Exists(t.Context(), fmt.Sprint("jdpay:reply:pay-complete-", m.Order.ID)).Val() != 1 {
				return false
			}
		}
		return s.unfinished() == 0
	})
	s.checkSettledOnce(stream)
	p.stop()
}
