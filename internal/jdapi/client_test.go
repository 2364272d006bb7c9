package jdapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var paid = Status{Producer: "P1", ThirdCode: "D1", WaybillCode: "JD1", Status: 1}

// serve starts a server for the test and returns a client of it.
func serve(t testing.TB, o Options, handle http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	o.BaseURL += server.URL
	return newClient(t, o)
}

func newClient(t testing.TB, o Options) *Client {
	t.Helper()
	if o.Signer == "" {
		o.Signer = "none"
	}
	if o.Path == "" {
		o.Path = "/updateWaybillStatus"
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func respond(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// failure returns err as an *Error.
func failure(t *testing.T, err error) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an *Error", err)
	}
	return e
}

func TestRequest(t *testing.T) {
	type request struct{ Method, Path, ContentType, Body, Key string }
	record := func(got *request) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			*got = request{r.Method, r.URL.Path, r.Header.Get("Content-Type"), string(body), r.Header.Get("X-Api-Key")}
			_, _ = io.WriteString(w, `{"success":true}`)
		}
	}
	const body = `{"producer":"P1","thirdCode":"D1","waybillCode":"JD1","status":1}`
	for name, tt := range map[string]struct {
		options Options
		want    request
	}{
		"none": {
			Options{Headers: map[string]string{"X-Api-Key": "ignored"}},
			request{"POST", "/updateWaybillStatus", "application/json", body, ""},
		},
		"header": {
			Options{Signer: "header", Path: "/v2/status", Headers: map[string]string{"x-api-key": "k1", "Content-Type": "application/json;charset=UTF-8"}},
			request{"POST", "/v2/status", "application/json;charset=UTF-8", body, "k1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got request
			if _, err := serve(t, tt.options, record(&got)).UpdateWaybillStatus(t.Context(), paid); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNewRefusesInvalidOptions(t *testing.T) {
	jos := Options{BaseURL: "https://api.jd.com/routerjson", Path: "jingdong.x", Signer: "jos", AppKey: "k", AppSecret: "s", AccessToken: "a"}
	for name, change := range map[string]func(*Options){
		"no url":           func(o *Options) { o.BaseURL = "" },
		"no scheme":        func(o *Options) { o.BaseURL = "api.jd.com" },
		"a query":          func(o *Options) { o.BaseURL += "?a=b" },
		"another scheme":   func(o *Options) { o.BaseURL = "ftp://api.jd.com" },
		"unknown signer":   func(o *Options) { o.Signer = "md5" },
		"no app key":       func(o *Options) { o.AppKey = "" },
		"no app secret":    func(o *Options) { o.AppSecret = "" },
		"no access token":  func(o *Options) { o.AccessToken = "" },
		"no file":          func(o *Options) { o.CAFile = "/does/not/exist.pem" },
		"a bare path":      func(o *Options) { o.Signer = "none" },
		"no headers":       func(o *Options) { o.Signer = "header" },
		"no method":        func(o *Options) { o.Path = "/" },
		"bad header name":  func(o *Options) { o.Signer, o.Headers = "header", map[string]string{"a b": "c"} },
		"bad header value": func(o *Options) { o.Signer, o.Headers = "header", map[string]string{"a": "b\nc"} },
		"host as a header": func(o *Options) { o.Signer, o.Headers = "header", map[string]string{"host": "b"} },
	} {
		t.Run(name, func(t *testing.T) {
			o := jos
			change(&o)
			if _, err := New(o); err == nil {
				t.Error("New accepted it")
			}
		})
	}
	if _, err := New(jos); err != nil {
		t.Error(err)
	}
}

func TestRateLimit(t *testing.T) {
	t.Run("delays calls", func(t *testing.T) {
		c := serve(t, Options{MaxPerSecond: 100}, respond(200, `{"success":true}`))
		began := time.Now()
		var wg sync.WaitGroup
		for range 11 {
			wg.Go(func() {
				if _, err := c.UpdateWaybillStatus(t.Context(), paid); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(began); took < 95*time.Millisecond {
			t.Errorf("11 calls at 100 per second took %s", took)
		}
	})
	t.Run("the context ends the wait", func(t *testing.T) {
		c := serve(t, Options{MaxPerSecond: 0.001}, respond(200, `{"success":true}`))
		if _, err := c.UpdateWaybillStatus(t.Context(), paid); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Millisecond, cancel)
		if _, err := c.UpdateWaybillStatus(ctx, paid); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
	})
	t.Run("ErrNotCalled beyond the deadline", func(t *testing.T) {
		c := serve(t, Options{MaxPerSecond: 0.001}, respond(200, `{"success":true}`))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := c.UpdateWaybillStatus(ctx, paid); err != nil {
			t.Fatal(err)
		}
		if _, err := c.UpdateWaybillStatus(ctx, paid); !errors.Is(err, ErrNotCalled) {
			t.Errorf("got %v, want ErrNotCalled", err)
		}
	})
}

// BenchmarkCall makes calls over a real connection; half of the time is the server's.
func BenchmarkCall(b *testing.B) {
	c := serve(b, Options{}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"success":true,"code":"200","message":"ok","data":true}`)
	})
	b.ReportAllocs()
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := c.UpdateWaybillStatus(b.Context(), paid); err != nil {
				b.Error(err)
			}
		}
	})
}
