package crash

import (
	"fmt"
	"testing"
	"time"

	"jdpay-listener/e2e/box"

	"github.com/redis/go-redis/v9"

	"jdpay-listener/internal/sandbox"
)

// TestRepliesSurviveRedisAndKill stops Redis, and kills the daemon between keeping a reply and concluding the command: no
// reply is lost.
func TestRepliesSurviveRedisAndKill(t *testing.T) {
	t.Parallel()
	s := crashCompany(t, box.CrashProgram(t))
	s.Redis.Stop()
	p := s.Start("CRASHPOINT=reply matched")
	stream := box.Ordinary(10)
	for _, m := range stream {
		if err := sandbox.AddOrders(s.DB, *m.Order); err != nil {
			t.Fatal(err)
		}
		s.MNS.Put(box.NotifyQueue, m.Body)
	}
	select {
	case <-p.Done:
	case <-time.After(30 * time.Second):
		t.Fatal("the daemon did not reach the crash point")
	}
	if kept := s.Count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'reply' AND state <> 'done'"); kept == 0 {
		t.Fatal("no reply was kept when the daemon was killed")
	}
	s.MNS.ShiftClock(31 * time.Second)
	p = s.Start()
	s.Eventually(30*time.Second, "every command is confirmed, although Redis is down", func() bool {
		return s.Count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'pay-complete' AND outcome = 'confirmed'") == len(stream)
	})
	if n := s.Count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'reply-publish' AND state = 'done'"); n != 0 {
		t.Errorf("%d replies were published to a Redis that is down", n)
	}
	s.Redis.Start(t)
	subscriber := redis.NewClient(&redis.Options{Addr: s.Redis.Addr()})
	defer subscriber.Close()
	s.Eventually(30*time.Second, "every reply is in Redis when it is back", func() bool {
		for _, m := range stream {
			if subscriber.Exists(t.Context(), fmt.Sprint("jdpay:reply:pay-complete-", m.Order.ID)).Val() != 1 {
				return false
			}
		}
		return s.Unfinished() == 0
	})
	s.CheckSettledOnce(stream)
	p.Stop()
}
