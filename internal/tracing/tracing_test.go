package tracing

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

func TestEnabled(t *testing.T) {
	for name, c := range map[string]struct {
		env  map[string]string
		on   bool
		says string // of the error
	}{
		"nothing is set":            {},
		"an endpoint":               {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, on: true},
		"an endpoint for traces":    {env: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, on: true},
		"the exporter alone":        {env: map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, on: true},
		"no exporter":               {env: map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}},
		"disabled":                  {env: map[string]string{"OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}},
		"another exporter":          {env: map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, says: `OTEL_TRACES_EXPORTER="zipkin"`},
		"gRPC":                      {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, says: `OTEL_EXPORTER_OTLP_PROTOCOL="grpc"`},
		"gRPC for other signals":    {env: map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"}, on: true},
		"only a name and a sampler": {env: map[string]string{"OTEL_SERVICE_NAME": "x", "OTEL_TRACES_SAMPLER": "always_on"}},
	} {
		on, err := Enabled(func(key string) string { return c.env[key] })
		if on != c.on || (err != nil) != (c.says != "") {
			t.Errorf("%s: %v, %v", name, on, err)
		}
		if err != nil && (!errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestProtected(t *testing.T) {
	for endpoint, want := range map[string]bool{
		"": true, "http://localhost:4318": true, "http://127.0.0.1:4318/x": true, "https://collector.test": true, "http://collector.test:4318": false, "collector.test:4318": false, "http://[::1": false,
	} {
		if got := Protected(func(key string) string { return map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}[key] }); got != want {
			t.Errorf("%q: %v", endpoint, got)
		}
	}
}

func TestTraceparent(t *testing.T) {
	ids := MessageIDs("notify", "M1", 1)
	again, other := MessageIDs("notify", "M1", 2), MessageIDs("notify", "M2", 1)
	if ids.Trace != again.Trace || ids.Span == again.Span || ids.Trace == other.Trace || !ids.Trace.IsValid() || !ids.Span.IsValid() {
		t.Errorf("ids of two deliveries and of another message: %v %v %v", ids, again, other)
	}
	for _, flags := range []trace.TraceFlags{0, trace.FlagsSampled} {
		c := trace.NewSpanContext(trace.SpanContextConfig{TraceID: ids.Trace, SpanID: ids.Span, TraceFlags: flags})
		text := Traceparent(c)
		if got, ok := Parse(text); !ok || !got.Equal(c.WithRemote(true)) || len(text) != 55 {
			t.Errorf("%q is read as %v, %v", text, got, ok)
		}
	}
	for _, bad := range []string{
		"", "x", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
		"01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319z-b7ad6b7169203331-01",
	} {
		if got, ok := Parse(bad); ok {
			t.Errorf("%q is read as %v", bad, got)
		}
	}
}

// TestSamplerDecidesByTheMessage: OTEL_TRACES_SAMPLER decides about a message's trace, and all its tries follow, also in another process.
func TestSamplerDecidesByTheMessage(t *testing.T) {
	t.Setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
	t.Setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
	var providers []*Provider
	for range 2 {
		p, err := New(t.Context(), "1", "i", slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer p.sdk.Shutdown(canceled())
		providers = append(providers, p)
	}
	sampled := 0
	for n := range 200 {
		ctx := WithIDs(t.Context(), MessageIDs("notify", strings.Repeat("m", n+1), 1))
		_, first := providers[0].Start(ctx, "keep")
		_, second := providers[1].Start(ctx, "keep")
		if first.SpanContext().TraceID() != second.SpanContext().TraceID() || first.IsRecording() != second.IsRecording() {
			t.Fatal("two processes decide differently about a message")
		}
		row, ok := Parse(Traceparent(first.SpanContext()))
		_, try := providers[1].Start(trace.ContextWithRemoteSpanContext(t.Context(), row), "settle")
		if !ok || try.IsRecording() != first.IsRecording() {
			t.Fatal("a try does not follow its message")
		}
		if first.IsRecording() {
			sampled++
		}
	}
	if sampled < 60 || sampled > 140 {
		t.Errorf("%d of 200 messages have a trace, want half of them", sampled)
	}
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// failing is an exporter whose collector may be away.
type failing struct {
	sdk.SpanExporter
	err error
}

func (f *failing) ExportSpans(context.Context, []sdk.ReadOnlySpan) error { return f.err }

// TestOutageIsLoggedOnce has an outage of three batches.
func TestOutageIsLoggedOnce(t *testing.T) {
	var out bytes.Buffer
	f := &failing{}
	w := &watched{SpanExporter: f, log: slog.New(slog.NewTextHandler(&out, nil))}
	export := func(err error) {
		t.Helper()
		f.err = err
		if err := w.ExportSpans(t.Context(), make([]sdk.ReadOnlySpan, 4)); err != nil {
			t.Error(err)
		}
	}
	export(nil)
	for range 3 {
		export(errors.New("connection refused"))
	}
	export(nil)
	export(nil)
	if text := out.String(); strings.Count(text, "\n") != 2 || !strings.Contains(text, `error="connection refused"`) || !strings.Contains(text, "dropped=12") {
		t.Errorf("logged:\n%s", text)
	}
}

// TestCollectorThatHangs: spans are made and ended at once while the collector does not answer, however many, and Close ends in time.
func TestCollectorThatHangs(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(release)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	p, err := New(t.Context(), "1", "i", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	const n = 20_000 // ten times what is kept for export
	begin := time.Now()
	for range n {
		_, span := p.Start(t.Context(), "settle")
		span.End()
	}
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("%d spans took %s while the collector hangs", n, took)
	}
	begin = time.Now()
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > closeTimeout+3*time.Second {
		t.Errorf("Close took %s", took)
	}
}
