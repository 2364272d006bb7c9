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

// jd is a JD without a network, for tests on a fake clock.
type jd struct {
	calls  atomic.Int64
	answer func(n int64, r *http.Request) (*http.Response, error)
}

func (j *jd) RoundTrip(r *http.Request) (*http.Response, error) { return j.answer(j.calls.Add(1), r) }

func says(status int, body string) (*http.Response, error) {
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

// call makes n calls at once and returns how many were held back, and one of their waits.
func call(t *testing.T, c *Client, n int) (held int, wait time.Duration) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			_, err := c.UpdateWaybillStatus(t.Context(), paid)
			var h *HeldBackError
			if errors.Is(err, ErrHeldBack) && errors.As(err, &h) {
				mu.Lock()
				held, wait = held+1, h.RetryAfter
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return held, wait
}

func TestBreaker(t *testing.T) {
	down := func(int64, *http.Request) (*http.Response, error) { return says(503, "") }
	up := func(int64, *http.Request) (*http.Response, error) { return says(200, `{"success":true}`) }
	hang := func(_ int64, r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}

	breakerTest(t, "holds calls back while JD is down, probes, and lets them flow again", func(t *testing.T, c *Client, j *jd, o *outages) {
		j.answer = down
		for range tripInRow {
			if held, _ := call(t, c, 1); held != 0 {
				t.Fatalf("held back after %d calls", j.calls.Load())
			}
		}
		time.Sleep(2 * time.Second)
		if held, wait := call(t, c, 100); held != 100 || wait != 3*time.Second || j.calls.Load() != tripInRow {
			t.Errorf("%d held back for %s after %d calls", held, wait, j.calls.Load())
		}
		time.Sleep(4 * time.Second) // the first probe fails
		if held, wait := call(t, c, 1); held != 0 || j.calls.Load() != tripInRow+1 {
			t.Errorf("no probe: %d held back for %s", held, wait)
		}
		if held, wait := call(t, c, 1); held != 1 || wait != openFor {
			t.Errorf("%d held back for %s after a failed probe", held, wait)
		}
		time.Sleep(openFor + time.Second)
		j.answer = up
		for range probes {
			call(t, c, 1)
		}
		if held, _ := call(t, c, 100); held != 0 {
			t.Errorf("%d held back although JD is up", held)
		}
		if len(o.opened) != 1 || len(o.closed) != 1 || !strings.Contains(o.opened[0], "http 503") || o.closed[0] != "12s" {
			t.Errorf("outages: %+v", o)
		}
	})

	breakerTest(t, "lets only a few probe at once", func(t *testing.T, c *Client, j *jd, _ *outages) {
		j.answer = down
		call(t, c, tripInRow)
		time.Sleep(openFor + time.Second)
		j.answer = hang
		if held, wait := call(t, c, 50); held != 50-probes || wait != probesPause {
			t.Errorf("%d of 50 held back for %s, want all but %d", held, wait, probes)
		}
	})

	breakerTest(t, "notices a JD that lets every call run into its timeout", func(t *testing.T, c *Client, j *jd, o *outages) {
		j.answer = hang
		call(t, c, tripInRow)
		if held, _ := call(t, c, 1); held != 1 || len(o.opened) != 1 {
			t.Errorf("not held back; outages: %+v", o)
		}
	})

	breakerTest(t, "notices a JD that fails most calls", func(t *testing.T, c *Client, j *jd, o *outages) {
		j.answer = func(n int64, r *http.Request) (*http.Response, error) {
			if n%3 == 0 {
				return up(n, r)
			}
			return down(n, r)
		}
		for range tripFrom {
			call(t, c, 1)
		}
		if held, _ := call(t, c, 1); held != 1 || len(o.opened) != 1 {
			t.Errorf("not held back at 2 failures of 3; outages: %+v", o)
		}
	})

	breakerTest(t, "tolerates a JD that fails some calls", func(t *testing.T, c *Client, j *jd, o *outages) {
		j.answer = func(n int64, r *http.Request) (*http.Response, error) {
			if n%2 == 0 {
				return up(n, r)
			}
			return down(n, r)
		}
		for range 10 * tripFrom {
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
		breakerTest(t, "does not take "+what+" for an outage", func(t *testing.T, c *Client, j *jd, o *outages) {
			j.answer = func(int64, *http.Request) (*http.Response, error) { return says(reply.status, reply.body) }
			for range 5 * tripFrom {
				call(t, c, 1)
			}
			if n := j.calls.Load(); n != 5*tripFrom || len(o.opened) != 0 {
				t.Errorf("%d calls, outages: %+v", n, o)
			}
		})
	}

	breakerTest(t, "learns nothing from calls that shutdown interrupted", func(t *testing.T, c *Client, j *jd, o *outages) {
		interrupt := func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := c.UpdateWaybillStatus(ctx, paid); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		}
		j.answer = hang
		for range 5 * tripInRow { // not a failure
			interrupt()
		}
		if len(o.opened) != 0 {
			t.Fatalf("outages: %+v", o)
		}
		j.answer = down
		call(t, c, tripInRow)
		time.Sleep(openFor + time.Second)
		j.answer = hang
		for range 2 * probes { // not a success, and no probe is used up for ever
			interrupt()
		}
		j.answer = down
		if held, _ := call(t, c, 1); held != 0 {
			t.Error("the interrupted probes were never given back")
		}
		if held, _ := call(t, c, 1); held != 1 {
			t.Error("the interrupted probes counted as successes")
		}
	})
}
