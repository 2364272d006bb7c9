package ops

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"jdpay-listener/internal/testenv"
)

func get(s *Server, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.handler(context.Background()).ServeHTTP(w, r)
	return w
}

// TestHealthz: liveness fails only while a loop that has begun makes no progress.
func TestHealthz(t *testing.T) {
	h := &Health{}
	s := &Server{Health: h, Metrics: NewMetrics()}
	h.Loop("has not begun", 0)
	h.Loop("makes progress", time.Hour)()
	if w := get(s, "/healthz"); w.Code != http.StatusOK || w.Body.String() != "[]\n" {
		t.Errorf("healthy: %d %s", w.Code, w.Body)
	}
	beat := h.Loop("wedged", time.Millisecond)
	beat()
	if !testenv.Poll(5*time.Second, func() bool { return len(h.Stuck()) == 1 }) {
		t.Fatal("the wedged loop is not reported")
	}
	if w := get(s, "/healthz"); w.Code != http.StatusServiceUnavailable || !strings.HasPrefix(w.Body.String(), `[{"name":"wedged","error":"no progress for `) {
		t.Errorf("wedged: %d %s", w.Code, w.Body)
	}
}

// TestReadyz: readiness names all failed checks, and the checks have a deadline.
func TestReadyz(t *testing.T) {
	h := &Health{}
	ready := func() *httptest.ResponseRecorder { // a new Server has no cached result
		s := &Server{Health: h, Metrics: NewMetrics(), Token: "secret"}
		return get(s, "/readyz", "Authorization", "Bearer secret")
	}
	var bounded bool
	h.Check("fine", func(ctx context.Context) error { _, bounded = ctx.Deadline(); return nil })
	if w := ready(); w.Code != http.StatusOK || w.Body.String() != "[]\n" || !bounded {
		t.Errorf("ready: %d %s, with a deadline: %v", w.Code, w.Body, bounded)
	}
	h.Check("mqtt", func(context.Context) error { return errors.New("not connected") })
	h.Check("account database", func(context.Context) error { return errors.New("refused") })
	w := ready()
	const want = `[{"name":"account database","error":"refused"},{"name":"mqtt","error":"not connected"}]` + "\n"
	if w.Code != http.StatusServiceUnavailable || w.Body.String() != want {
		t.Errorf("not ready: %d %s", w.Code, w.Body)
	}
	if w := get(&Server{Health: h, Metrics: NewMetrics()}, "/healthz"); w.Code != http.StatusOK {
		t.Errorf("liveness fails because a dependency is down: %d %s", w.Code, w.Body)
	}
}

func TestToken(t *testing.T) {
	open := &Server{Health: &Health{}, Metrics: NewMetrics()}
	closed := &Server{Health: &Health{}, Metrics: NewMetrics(), Token: "secret"}
	profiled := &Server{Health: &Health{}, Metrics: NewMetrics(), Token: "secret", Profile: true}
	unguarded := &Server{Health: &Health{}, Metrics: NewMetrics(), Profile: true} // which Check refuses
	bearer := []string{"Authorization", "Bearer secret"}
	for name, tt := range map[string]struct {
		server *Server
		path   string
		header []string
		want   int
	}{
		"no token is set":              {open, "/metrics", nil, 200},
		"without the token":            {closed, "/metrics", nil, 401},
		"right token":                  {closed, "/metrics", []string{"Authorization", "Bearer secret"}, 200},
		"wrong token":                  {closed, "/metrics", []string{"Authorization", "Bearer secrets"}, 401},
		"empty token":                  {closed, "/metrics", []string{"Authorization", "Bearer "}, 401},
		"another scheme":               {closed, "/metrics", []string{"Authorization", "Basic secret"}, 401},
		"without a scheme":             {closed, "/metrics", []string{"Authorization", "secret"}, 401},
		"first page without the token": {closed, "/", nil, 401},
		"healthz is open":              {closed, "/healthz", nil, 200},
		"readyz is open":               {closed, "/readyz", nil, 200},
		"unknown path":                 {closed, "/other", []string{"Authorization", "Bearer secret"}, 404},
		"first page with the token":    {closed, "/", []string{"Authorization", "Bearer secret"}, 200},
		"profiles, off":                {closed, "/debug/pprof/", bearer, 404},
		"a profile, off":               {closed, "/debug/pprof/heap", nil, 404},
		"profiles without the token":   {profiled, "/debug/pprof/", nil, 401},
		"the processor, no token":      {profiled, "/debug/pprof/profile", nil, 401},
		"a trace with a wrong token":   {profiled, "/debug/pprof/trace", []string{"Authorization", "Bearer secrets"}, 401},
		"profiles with the token":      {profiled, "/debug/pprof/", bearer, 200},
		"the memory with the token":    {profiled, "/debug/pprof/heap", bearer, 200},
		"a trace with the token":       {profiled, "/debug/pprof/trace?seconds=0.01", bearer, 200},
		"the command line":             {profiled, "/debug/pprof/cmdline", bearer, 404},
		"profiles of an open port":     {unguarded, "/debug/pprof/heap", nil, 404},
	} {
		t.Run(name, func(t *testing.T) {
			w := get(tt.server, tt.path, tt.header...)
			if w.Code != tt.want || strings.Contains(w.Body.String(), "secret") {
				t.Errorf("%d, want %d: %.200s", w.Code, tt.want, w.Body)
			}
		})
	}
}
