package mns

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRetryBackoff(t *testing.T) {
	network := fmt.Errorf("wrapped: %w", ErrNetwork)
	tests := map[string]struct {
		err  error
		n    int
		rnd  float64
		want time.Duration
	}{
		"first, minimum":         {network, 1, 0, 200 * time.Millisecond},
		"first, maximum":         {network, 1, 1, 400 * time.Millisecond},
		"doubles":                {network, 3, 0, 800 * time.Millisecond},
		"capped, minimum":        {network, 9, 0, 15 * time.Second},
		"capped, maximum":        {network, 9, 1, 30 * time.Second},
		"no overflow":            {network, 1 << 30, 1, 30 * time.Second},
		"throttled, minimum":     {ErrThrottled, 1, 0, time.Second},
		"throttled, no overflow": {ErrThrottled, 1 << 30, 1, 30 * time.Second},
		"wrong key, minimum":     {ErrAuth, 1, 0, 10 * time.Second},
		"wrong clock, maximum":   {ErrClock, 1, 1, 20 * time.Second},
		"no queue, capped":       {ErrNoQueue, 5, 1, 30 * time.Second},
		"error without a class":  {errors.New("other"), 1, 0, 200 * time.Millisecond},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := retryBackoff(tt.err, tt.n, tt.rnd); got != tt.want {
				t.Errorf("retryBackoff() = %s, want %s", got, tt.want)
			}
		})
	}
}

func TestEmptyBackoff(t *testing.T) {
	tests := map[string]struct {
		wait time.Duration
		n    int
		rnd  float64
		want time.Duration
	}{
		"first, minimum": {30 * time.Second, 1, 0, 500 * time.Millisecond},
		"first, maximum": {30 * time.Second, 1, 1, time.Second},
		"grows":          {30 * time.Second, 2, 1, 2 * time.Second},
		"capped":         {30 * time.Second, 99, 1, 4 * time.Second},
		"short polling":  {0, 99, 1, time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := emptyBackoff(tt.wait, tt.n, tt.rnd); got != tt.want {
				t.Errorf("emptyBackoff() = %s, want %s", got, tt.want)
			}
		})
	}
}

func TestBeginAndEndOfAnOutageAreLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeMNS()
		var down atomic.Bool
		down.Store(true)
		c.receive = func(int) (*httpResponse, error) {
			if down.Load() {
				return nil, errReset
			}
			return nil, nil
		}
		l := &Listener{MaxPollers: 4}
		logs, stop := serve(t, c, l)
		time.Sleep(30 * time.Minute)
		if err := l.Healthy(); !errors.Is(err, ErrNetwork) {
			t.Errorf("Healthy() = %v, want ErrNetwork", err)
		}
		if n := len(c.pollsSoFar()); n < 60 || n > 140 {
			t.Errorf("%d tries in half an hour, want about one per 15 to 30 s", n)
		}
		down.Store(false)
		time.Sleep(31 * time.Second)
		if err := l.Healthy(); err != nil {
			t.Errorf("Healthy() = %v after the outage", err)
		}
		stop()
		lines := logs.all()
		if len(lines) != 2 || !strings.Contains(lines[0], "level=WARN") || !strings.Contains(lines[1], "outage_ms=18") {
			t.Errorf("logged %q, want one line at the begin and one at the end of the outage", lines)
		}
	})
}

func TestEachReasonOfAnOutageIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeMNS()
		c.receive = func(n int) (*httpResponse, error) {
			if n%2 == 0 {
				return mnsResponse(500, errorXML("InternalError")), nil
			}
			return nil, errReset
		}
		logs, stop := serve(t, c, &Listener{})
		time.Sleep(10 * time.Minute)
		stop()
		if lines := logs.all(); len(lines) != 2 {
			t.Errorf("logged %q, want each reason once", lines)
		}
	})
}

func TestPauseBetweenFailedReceives(t *testing.T) {
	tests := map[string]struct {
		response func() *httpResponse
		minPause time.Duration
		level    string
	}{
		"throttled":   {func() *httpResponse { return mnsResponse(429, errorXML("TooManyRequests")) }, time.Second, "WARN"},
		"wrong key":   {func() *httpResponse { return mnsResponse(403, errorXML("InvalidAccessKeyId")) }, 10 * time.Second, "ERROR"},
		"wrong clock": {func() *httpResponse { return mnsResponse(408, errorXML("TimeExpired")) }, 10 * time.Second, "ERROR"},
		"no queue":    {func() *httpResponse { return mnsResponse(404, errorXML("QueueNotExist")) }, 10 * time.Second, "ERROR"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newFakeMNS()
				c.receive = func(int) (*httpResponse, error) { return tt.response(), nil }
				logs, stop := serve(t, c, &Listener{})
				time.Sleep(10 * time.Minute)
				stop()
				polls := c.pollsSoFar()
				if len(polls) < 20 {
					t.Errorf("%d polls in ten minutes, want at least 20", len(polls))
				}
				for i := 1; i < len(polls); i++ {
					if gap := polls[i].at.Sub(polls[i-1].at); gap < tt.minPause || gap > 30*time.Second {
						t.Errorf("%s between two polls, want %s to 30s", gap, tt.minPause)
					}
				}
				if lines := logs.all(); len(lines) != 1 || !strings.Contains(lines[0], "level="+tt.level) {
					t.Errorf("logged %q, want one line of level %s", lines, tt.level)
				}
			})
		})
	}
}

func TestEmptyResponsesWithoutWaitDoNotSpin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeMNS()
		var noWait atomic.Bool
		noWait.Store(true)
		c.receive = func(int) (*httpResponse, error) {
			if noWait.Load() {
				return mnsResponse(404, errorXML("MessageNotExist")), nil
			}
			return nil, nil
		}
		l := &Listener{}
		logs, stop := serve(t, c, l)
		time.Sleep(10 * time.Minute)
		if n := len(c.pollsSoFar()); n < 150 || n > 310 {
			t.Errorf("%d polls in ten minutes, want one per 2 to 4 s", n)
		}
		if err := l.Healthy(); err != nil {
			t.Errorf("Healthy() = %v", err)
		}
		noWait.Store(false)
		time.Sleep(5 * time.Second)
		c.batches <- batch("m", 1)
		time.Sleep(time.Second)
		if n := len(c.deletesSoFar()); n != 1 {
			t.Errorf("%d deletes, want 1: the next long poll receives the message", n)
		}
		stop()
		if lines := logs.all(); len(lines) != 0 {
			t.Errorf("logged %q", lines)
		}
	})
}

func TestDeleteRetries(t *testing.T) {
	errorsXML := func(code, handle string) *httpResponse {
		return mnsResponse(404, "<Errors><Error><ErrorCode>"+code+"</ErrorCode><ReceiptHandle>"+handle+"</ReceiptHandle></Error></Errors>")
	}
	tests := map[string]struct {
		remove func(ctx context.Context, n int, handles []string) (*httpResponse, error)
		want   [][]string
		logged int
	}{
		"failed once": {
			func(_ context.Context, n int, _ []string) (*httpResponse, error) {
				if n == 1 {
					return nil, errReset
				}
				return nil, nil
			}, [][]string{{"1-m0", "1-m1"}, {"1-m0", "1-m1"}}, 0,
		},
		"one gone": {
			func(context.Context, int, []string) (*httpResponse, error) {
				return errorsXML("MessageNotExist", "1-m1"), nil
			},
			[][]string{{"1-m0", "1-m1"}},
			0,
		},
		"some gone, without handles": {
			func(_ context.Context, n int, _ []string) (*httpResponse, error) {
				if n == 1 {
					return mnsResponse(404, errorXML("MessageNotExist")), nil
				}
				return nil, nil
			}, [][]string{{"1-m0", "1-m1"}, {"1-m0"}, {"1-m1"}}, 0,
		},
		"one failed": {
			func(_ context.Context, n int, _ []string) (*httpResponse, error) {
				if n == 1 {
					return errorsXML("InternalError", "1-m1"), nil
				}
				return nil, nil
			}, [][]string{{"1-m0", "1-m1"}, {"1-m1"}}, 0,
		},
		"failed without a handle: retried one by one": {
			func(_ context.Context, _ int, handles []string) (*httpResponse, error) {
				switch {
				case len(handles) > 1:
					return errorsXML("ReceiptHandleError", ""), nil
				case handles[0] == "1-m0":
					return errorsXML("MessageNotExist", ""), nil
				}
				return nil, nil
			}, [][]string{{"1-m0", "1-m1"}, {"1-m0"}, {"1-m1"}}, 0,
		},
		"one invalid handle": {
			func(_ context.Context, _ int, handles []string) (*httpResponse, error) {
				if len(handles) > 1 || handles[0] == "1-m1" {
					return errorsXML("ReceiptHandleError", ""), nil
				}
				return nil, nil
			}, [][]string{{"1-m0", "1-m1"}, {"1-m0"}, {"1-m1"}, {"1-m1"}, {"1-m1"}}, 1,
		},
		"always failing": {
			func(context.Context, int, []string) (*httpResponse, error) { return nil, errReset },
			[][]string{{"1-m0", "1-m1"}, {"1-m0", "1-m1"}, {"1-m0", "1-m1"}, {"1-m0", "1-m1"}},
			1,
		},
		"no rights": {
			func(context.Context, int, []string) (*httpResponse, error) {
				return mnsResponse(403, errorXML("AccessDenied")), nil
			},
			[][]string{{"1-m0", "1-m1"}},
			1,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newFakeMNS()
				c.remove = tt.remove
				logs, stop := serve(t, c, &Listener{})
				c.batches <- batch("m", 2)
				time.Sleep(20 * time.Second)
				stop()
				if diff := cmp.Diff(tt.want, c.deletesSoFar()); diff != "" {
					t.Errorf("deletes (-want +got):\n%s", diff)
				}
				lines := logs.all()
				if len(lines) != tt.logged {
					t.Errorf("logged %q, want %d lines", lines, tt.logged)
				}
				for _, line := range lines {
					if strings.Contains(line, "1-m") {
						t.Errorf("a handle in the log: %q", line)
					}
				}
			})
		})
	}
}
