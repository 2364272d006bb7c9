package mnsserver

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"jdpay-listener/internal/testenv"
)

// polled is the reply to a long poll and its duration.
type polled struct {
	answered
	after time.Duration
}

// poll opens a long poll. It runs in synthetic time.
func (c *client) poll(ctx context.Context, query string) <-chan polled {
	c.t.Helper()
	r := c.request("GET", messages+query, "").WithContext(ctx)
	start := time.Now()
	reply := make(chan polled, 1)
	go func() {
		defer close(reply)
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				panic(p)
			}
		}()
		a := c.send(r)
		reply <- polled{a, time.Since(start)}
	}()
	synctest.Wait()
	return reply
}

func (p polled) want(t *testing.T, body string, after time.Duration) {
	t.Helper()
	if body == "" {
		p.answered.want(t, 404, "MessageNotExist")
	} else if p.Status != 200 || p.Body != body {
		t.Errorf("the poll got %d %s, want %q", p.Status, p.Text, body)
	}
	if p.after != after {
		t.Errorf("the poll ended after %s, want %s", p.after, after)
	}
}

// bubble runs a test in synthetic time.
func bubble(t *testing.T, name string, test func(t *testing.T, s *Server, c *client)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newServer("dead")
			defer s.Close()
			test(t, s, newClient(t, s))
		})
	})
}

func TestLongPoll(t *testing.T) {
	ctx := context.Background()
	bubble(t, "ends empty when its time is up", func(t *testing.T, s *Server, c *client) {
		(<-c.poll(ctx, "?waitseconds=30")).want(t, "", 30*time.Second)
		if got := s.Stats(testQueue).Waiting; got != 0 {
			t.Errorf("%d still wait", got)
		}
	})
	bubble(t, "takes the queue's wait when it names none", func(t *testing.T, s *Server, c *client) {
		c.do("PUT", "/queues/"+testQueue+"?metaoverride=true", "<Queue><PollingWaitSeconds>7</PollingWaitSeconds></Queue>").want(t, 204, "")
		(<-c.poll(ctx, "")).want(t, "", 7*time.Second)
		(<-c.poll(ctx, "?waitseconds=0")).want(t, "", 0)
		(<-c.poll(ctx, "?waitseconds=2")).want(t, "", 2*time.Second)
	})
	bubble(t, "wakes on a send, one poll for one message", func(t *testing.T, s *Server, c *client) {
		first, second := c.poll(ctx, "?waitseconds=10"), c.poll(ctx, "?waitseconds=10")
		time.Sleep(3 * time.Second)
		if got := s.Stats(testQueue).Waiting; got != 2 {
			t.Errorf("%d wait, want 2", got)
		}
		c.put("x", "").want(t, 201, "")
		(<-first).want(t, "x", 3*time.Second)
		(<-second).want(t, "", 10*time.Second)
	})
	bubble(t, "several messages wake several polls", func(t *testing.T, s *Server, c *client) {
		polls := []<-chan polled{c.poll(ctx, "?waitseconds=10"), c.poll(ctx, "?waitseconds=10"), c.poll(ctx, "?waitseconds=10")}
		s.Put(testQueue, "x", "x", "x")
		for _, reply := range polls {
			(<-reply).want(t, "x", 0)
		}
	})
	bubble(t, "wakes at the end of a delay", func(t *testing.T, s *Server, c *client) {
		reply := c.poll(ctx, "?waitseconds=10")
		c.put("later", "<DelaySeconds>6</DelaySeconds>").want(t, 201, "")
		c.put("sooner", "<DelaySeconds>4</DelaySeconds>").want(t, 201, "") // a timer is set for the other already
		(<-reply).want(t, "sooner", 4*time.Second)
		(<-c.poll(ctx, "?waitseconds=10")).want(t, "later", 2*time.Second)
	})
	bubble(t, "wakes at the end of an invisibility", func(t *testing.T, s *Server, c *client) {
		s.Put(testQueue, "x")
		m := c.mustReceive()
		reply := c.poll(ctx, "?waitseconds=10")
		time.Sleep(time.Second)
		c.hide(m.Handle, "5").want(t, 200, "")
		(<-reply).want(t, "x", 6*time.Second)
		(<-c.poll(ctx, "?waitseconds=30")).want(t, "x", 30*time.Second)
	})
	bubble(t, "wakes on a dead letter", func(t *testing.T, s *Server, c *client) {
		s.DeadLetter(testQueue, 1, "dead")
		s.Put(testQueue, "x")
		c.mustReceive()
		time.Sleep(time.Second)
		r := c.request("GET", "/queues/dead/messages?waitseconds=30", "")
		start := time.Now()
		if a := c.send(r); a.Status != 200 || time.Since(start) != 29*time.Second {
			t.Errorf("the dead-letter queue gave %d %s after %s", a.Status, a.Text, time.Since(start))
		}
	})
	bubble(t, "wakes when the clock jumps", func(t *testing.T, s *Server, c *client) {
		c.now = s.wallClock
		s.Put(testQueue, "x")
		c.mustReceive()
		reply := c.poll(ctx, "?waitseconds=10")
		time.Sleep(time.Second)
		s.ShiftClock(time.Minute)
		(<-reply).want(t, "x", time.Second)
		reply = c.poll(ctx, "?waitseconds=30")
		s.ShiftClock(10 * time.Second)
		(<-reply).want(t, "x", 20*time.Second)
	})
	bubble(t, "ends with a message although the clock stood still", func(t *testing.T, s *Server, c *client) {
		start := time.Now()
		s.clock = func() time.Time {
			if time.Since(start) < 6*time.Second {
				return start
			}
			return time.Now()
		}
		c.put("x", "<DelaySeconds>5</DelaySeconds>").want(t, 201, "")
		(<-c.poll(ctx, "?waitseconds=30")).want(t, "x", 10*time.Second)
	})
	bubble(t, "wakes on a second copy", func(t *testing.T, s *Server, c *client) {
		s.Inject(Fault{Op: ReceiveMessage, Duplicate: true})
		first, second := c.poll(ctx, "?waitseconds=10"), c.poll(ctx, "?waitseconds=10")
		s.Put(testQueue, "x")
		(<-first).want(t, "x", 0)
		select {
		case got := <-second:
			got.want(t, "x", 0)
		case <-time.After(11 * time.Second):
			t.Error("the second copy was not delivered")
		}
	})
	bubble(t, "ends when the queue is deleted", func(t *testing.T, s *Server, c *client) {
		first, second := c.poll(ctx, "?waitseconds=10"), c.poll(ctx, "?waitseconds=10")
		c.do("DELETE", "/queues/"+testQueue, "").want(t, 204, "")
		(<-first).answered.want(t, 404, "QueueNotExist")
		(<-second).answered.want(t, 404, "QueueNotExist")
	})
	bubble(t, "of a client that hung up gets no message", func(t *testing.T, s *Server, c *client) {
		leaving, leave := context.WithCancel(ctx)
		gone, next := c.poll(leaving, "?waitseconds=10"), c.poll(ctx, "?waitseconds=10")
		s.mu.Lock() // so that the message is sent before the poll runs
		leave()
		s.mu.Unlock()
		s.Put(testQueue, "x")
		if reply, ok := <-gone; ok {
			t.Errorf("a reply to a closed connection: %s", reply.Text)
		}
		(<-next).want(t, "x", 0)
		if got := s.Stats(testQueue).Delivered; got != 1 {
			t.Errorf("%d deliveries, want 1", got)
		}
	})
}

// TestHangUpOverTCP sends a message right after a waiting client closed its connection, before net/http can notice.
func TestHangUpOverTCP(t *testing.T) {
	s := newServer()
	c := newClient(t, s).overTCP()
	for range 200 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(c.endpoint, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.request("GET", messages+"?waitseconds=30", "").Write(conn); err != nil {
			t.Fatal(err)
		}
		s.untilWaiting(t, 1)
		conn.Close()
		s.Put(testQueue, "x")
		s.untilWaiting(t, 0)
		if got := s.Stats(testQueue); got.Delivered != 0 {
			t.Fatalf("a message went to a client that had closed its connection: %+v", got)
		}
		s.mu.Lock()
		q := s.queues[testQueue]
		q.remove(q.oldest)
		s.mu.Unlock()
	}
}

// TestCloseEndsLongPolls closes the server while a long poll is open.
func TestCloseEndsLongPolls(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	s := newServer()
	c := newClient(t, s).overTCP()
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.endpoint, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := c.request("GET", messages+"?waitseconds=30", "").Write(conn); err != nil {
		t.Fatal(err)
	}
	s.untilWaiting(t, 1)
	s.Close()
	if line, err := bufio.NewReader(conn).ReadString('\n'); err == nil {
		t.Errorf("the poll was answered %q", line)
	}
}

func (s *Server) untilWaiting(t *testing.T, n int) {
	t.Helper()
	testenv.Eventually(t, 10*time.Second, fmt.Sprint(n, " long polls are open"), func() bool { return s.Stats(testQueue).Waiting == n })
}
