package jdapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// jd is a JD without a network, for tests on synctest's clock.
type jd struct {
	calls   atomic.Int64
	respond func(n int64, r *http.Request) (*http.Response, error)
}

func (j *jd) RoundTrip(r *http.Request) (*http.Response, error) { return j.respond(j.calls.Add(1), r) }

func response(status int, body string) (*http.Response, error) {
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body))}, nil
}

type outages struct{ opened, closed []string }

func breakerTest(t *testing.T, name string, test func(t *testing.T, c *Client, j *jd, o *outages)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o := &outages{}
			j := &jd{}
			c := newClient(t, Options{
				BaseURL: "http://jd.example.com",
				OnOpen:  func(err error) { o.opened = append(o.opened, err.Error()) },
				OnClose: func(d time.Duration) { o.closed = append(o.closed, d.String()) },
			})
			c.http.Transport = j
			test(t, c, j, o)
		})
	})
}

// call makes n concurrent calls and returns how many the breaker prevented, and the RetryAfter of one of them.
func call(t *testing.T, c *Client, n int) (notCalled int, wait time.Duration) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			_, err := c.UpdateWaybillStatus(t.Context(), paid)
			var h *NotCalledError
			if errors.Is(err, ErrNotCalled) && errors.As(err, &h) {
				mu.Lock()
				notCalled, wait = notCalled+1, h.RetryAfter
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return notCalled, wait
}

func TestBreaker(t *testing.T) {
	down := func(int64, *http.Request) (*http.Response, error) { return response(503, "") }
	up := func(int64, *http.Request) (*http.Response, error) { return response(200, `{"success":true}`) }
	hang := func(_ int64, r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}

	breakerTest(t, "opens while JD is down, then is half-open, then closes", func(t *testing.T, c *Client, j *jd, o *outages) {
		j.respond = down
		for range maxConsecutiveFailures {
			if notCalled, _ := call(t, c, 1); notCalled != 0 {
				t.Fatalf("open after %d calls", j.calls.Load())
			}
		}
		time.Sleep(2 * time.Second)
		if notCalled, wait := call(t, c, 100); notCalled != 100 || wait != 3*time.Second || j.calls.Load() != maxConsecutiveFailures {
			t.Errorf("%d prevented for %s after %d calls", notCalled, wait, j.calls.Load())
		}
		time.Sleep(4 * time.Second) // half-open: the first probe fails
		if notCalled, wait := call(t, c, 1); notCalled != 0 || j.calls.Load() != maxConsecutiveFailures+1 {
			t.Errorf("no probe: %d prevented for %s", notCalled, wait)
		}
		if notCalled, wait := call(t, c, 1); notCalled != 1 || wait != openTimeout {
			t.Errorf("%d prevented for %s after a failed probe", notCalled, wait)
		}
		time.Sleep(openTimeout + time.Second)
		j.respond = up
		for range maxProbes {
			call(t, c, 1)
		}
		if notCalled, _ := call(t, c, 100); notCalled != 0 {
			t.Errorf("%d prevented although JD is up", notCalled)
		}
		if len(o.opened) != 1 || len(o.closed) != 1 || !strings.Contains(o.opened[0], "http 503") || o.closed[0] != "12s" {
			t.Errorf("outages: %+v", o)
		}
	})

	breakerTest(t, "half-open, allows only a few concurrent calls", func(t *testing.T, c *Client, j *jd, _ *outages) {
		j.respond = down
		call(t, c, maxConsecutiveFailures)
		time.Sleep(openTimeout + time.Second)
		j.respond = hang
		if notCalled, wait := call(t, c, 50); notCalled != 50-maxProbes || wait != halfOpenRetryInterval {
			t.Errorf("%d of 50 prevented for %s, want all but %d", notCalled, wait, maxProbes)
		}
	})

	breakerTest(t, "opens when every call times out", func(t *testing.T, c *Client, j *jd, o *outages) {
		j.respond = hang
		call(t, c, maxConsecutiveFailures)
		if notCalled, _ := call(t, c, 1); notCalled != 1 || len(o.opened) != 1 {
			t.Errorf("not open; outages: %+v", o)
		}
	})

	breakerTest(t, "opens when most calls fail", func(t *testing.T, c *Client, j *jd, o *outages) {
		j.respond = func(n int64, r *http.Request) (*http.Response, error) {
			if n%3 == 0 {
				return up(n, r)
			}
			return down(n, r)
		}
		for range minCalls {
			call(t, c, 1)
		}
		if notCalled, _ := call(t, c, 1); notCalled != 1 || len(o.opened) != 1 {
			t.Errorf("not open at 2 failures of 3; outages: %+v", o)
		}
	})

	breakerTest(t, "stays closed when some calls fail", func(t *testing.T, c *Client, j *jd, o *outages) {
		j.respond = func(n int64, r *http.Request) (*http.Response, error) {
			if n%2 == 0 {
				return up(n, r)
			}
			return down(n, r)
		}
		for range 10 * minCalls {
			call(t, c, 1)
		}
		if len(o.opened) != 0 {
			t.Errorf("outages: %+v", o)
		}
	})

	for what, reply := range map[string]struct {
		status int
		body   string
	}{
		"refusals":        {200, `{"success":false,"code":"E1"}`},
		"bad credentials": {401, ``},
		"throttling":      {429, ``},
		"web pages":       {200, `<html>`},
	} {
		breakerTest(t, "stays closed upon "+what, func(t *testing.T, c *Client, j *jd, o *outages) {
			j.respond = func(int64, *http.Request) (*http.Response, error) { return response(reply.status, reply.body) }
			for range 5 * minCalls {
				call(t, c, 1)
			}
			if n := j.calls.Load(); n != 5*minCalls || len(o.opened) != 0 {
				t.Errorf("%d calls, outages: %+v", n, o)
			}
		})
	}

	breakerTest(t, "does not count calls that shutdown interrupted", func(t *testing.T, c *Client, j *jd, o *outages) {
		interrupt := func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := c.UpdateWaybillStatus(ctx, paid); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		}
		j.respond = hang
		for range 5 * maxConsecutiveFailures { // not a failure
			interrupt()
		}
		if len(o.opened) != 0 {
			t.Fatalf("outages: %+v", o)
		}
		j.respond = down
		call(t, c, maxConsecutiveFailures)
		time.Sleep(openTimeout + time.Second)
		j.respond = hang
		for range 2 * maxProbes { // no successes, and the probes can be repeated
			interrupt()
		}
		j.respond = down
		if notCalled, _ := call(t, c, 1); notCalled != 0 {
			t.Error("no probe is possible after the interrupted ones")
		}
		if notCalled, _ := call(t, c, 1); notCalled != 1 {
			t.Error("the interrupted probes counted as successes")
		}
	})
}
