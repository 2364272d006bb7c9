package daemon

import (
	"context"
	"encoding/hex"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/jdserver"
	"jdpay-listener/internal/setup"
	"jdpay-listener/internal/testenv"
)

// spanStore is a collector. It receives OTLP over HTTP, and does not answer while it is down.
type spanStore struct {
	*httptest.Server
	mu       sync.Mutex
	resource map[string]string
	spans    []*otlp.Span
	header   string
}

func newSpanStore(t *testing.T) *spanStore {
	t.Helper()
	c := &spanStore{}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

func (c *spanStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var request collector.ExportTraceServiceRequest
	if err != nil || proto.Unmarshal(body, &request) != nil || r.URL.Path != "/v1/traces" {
		http.Error(w, "not traces", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.header = r.Header.Get("X-Tenant")
	for _, rs := range request.ResourceSpans {
		c.resource = words(rs.Resource.Attributes)
		for _, ss := range rs.ScopeSpans {
			c.spans = append(c.spans, ss.Spans...)
		}
	}
}

// named returns the spans with this name.
func (c *spanStore) named(name string) []*otlp.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.spans), func(s *otlp.Span) bool { return s.Name != name })
}

// words are the attributes that are texts.
func words(attributes []*common.KeyValue) map[string]string {
	found := map[string]string{}
	for _, a := range attributes {
		found[a.Key] = a.Value.GetStringValue()
	}
	return found
}

// TestTraces lets a payment whose JD call fails once go through a daemon, and reads what a collector gets.
func TestTraces(t *testing.T) {
	company, loaded := company(t)
	spans := newSpanStore(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", spans.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "X-Tenant=parcels")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
	sent := sandbox.Stream(1)
	if err := company.Prepare(sent); err != nil {
		t.Fatal(err)
	}
	company.JD.ScriptWaybill(sent[0].Order.Waybill(), jdserver.Reply{HTTPStatus: http.StatusServiceUnavailable})
	p := loaded.Config.Jobs.Retry["waybill-status"]
	p.FirstWait = 100 * time.Millisecond
	loaded.Config.Jobs.Retry["waybill-status"] = p
	db, err := setup.OpenDatabase(loaded.Config.ConnectionStrings.Account)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()

	var log testenv.Buffer
	ctx, stop := context.WithCancel(t.Context())
	if err := runLabelled(ctx, loaded, Options{Version: "1.2.3", Log: slog.New(slog.NewTextHandler(&log, nil)), OnReady: func(net.Addr) {
		company.Send(sent[0])
		if !testenv.Poll(time.Minute, func() bool { return strings.Contains(log.String(), `msg="payment settled"`) }) {
			t.Error("the payment is not settled")
		}
		stop() // what is not exported yet is exported now
	}}); err != nil {
		t.Error(err)
	}

	spans.mu.Lock()
	want := map[string]string{"service.name": "jdpay-listener", "service.version": "1.2.3", "service.instance.id": loaded.Config.Host.Instance, "deployment.environment.name": "test"}
	got := map[string]string{}
	for name := range want {
		got[name] = spans.resource[name]
	}
	if diff := cmp.Diff(want, got); diff != "" || spans.header != "parcels" {
		t.Errorf("header %q, resource (-want +got):\n%s", spans.header, diff)
	}
	spans.mu.Unlock()

	one := func(name string, n int) []*otlp.Span {
		t.Helper()
		found := spans.named(name)
		if len(found) != n {
			t.Fatalf("%d spans %q, want %d", len(found), name, n)
		}
		return found
	}
	notify := loaded.Config.JDPay.NotifyQueueName
	keep := one("keep "+notify, 1)[0]
	receive := one("receive "+notify, 1)[0]
	if len(receive.Links) != 1 || string(receive.Links[0].TraceId) != string(keep.TraceId) || string(receive.Links[0].SpanId) != string(keep.SpanId) || string(receive.TraceId) == string(keep.TraceId) {
		t.Errorf("the batch's span %v has not one link to the message's %v", receive, keep)
	}
	tries := map[string]int{"settle": 1, "pay-complete": 1, "waybill-status": 2, "pay-info": 1}
	for _, name := range slices.Sorted(maps.Keys(tries)) {
		for _, s := range one(name, tries[name]) {
			if string(s.TraceId) != string(keep.TraceId) || string(s.ParentSpanId) != string(keep.SpanId) {
				t.Errorf("%s is not part of the message's trace: %v", name, s)
			}
			if a := words(s.Attributes); a["jdpay.order_no"] != sent[0].OrderNo || a["jdpay.state"] == "" {
				t.Errorf("%s has the attributes %v", name, a)
			}
		}
	}
	failed, ok := one("waybill-status", 2)[0], one("waybill-status", 2)[1]
	if failed.StartTimeUnixNano > ok.StartTimeUnixNano {
		failed, ok = ok, failed
	}
	if failed.Status.GetCode() != otlp.Status_STATUS_CODE_ERROR || ok.Status.GetCode() == otlp.Status_STATUS_CODE_ERROR || words(ok.Attributes)["jdpay.waybill"] != sent[0].Order.Waybill() {
		t.Errorf("the tries at JD: %v\n%v", failed, ok)
	}
	calls := one("POST /updateWaybillStatus", 2)
	for _, call := range calls {
		if !slices.ContainsFunc([]*otlp.Span{failed, ok}, func(try *otlp.Span) bool { return string(call.ParentSpanId) == string(try.SpanId) }) {
			t.Errorf("the JD call %v is not part of a try", call)
		}
	}
	publish := one("publish "+loaded.Config.Mqtt.PayCompleteTopic, 1)[0]
	if string(publish.ParentSpanId) != string(one("pay-complete", 1)[0].SpanId) {
		t.Errorf("the command %v is not part of its job", publish)
	}

	// The rows and the log line name the trace.
	id := traceIDText(keep)
	rows, err := job.NewMySQL(db).List(t.Context(), job.Filter{Ref: sent[0].OrderNo}, 10, false)
	if err != nil || len(rows) < 4 {
		t.Fatal(rows, err)
	}
	for _, r := range rows {
		if slices.Contains(slices.Collect(maps.Keys(tries)), r.Kind) && !strings.Contains(r.Trace, "-"+id+"-") {
			t.Errorf("the row of %s names the trace %q, want %q", r.Kind, r.Trace, id)
		}
	}
	if !strings.Contains(log.String(), "trace_id="+id) || strings.Contains(log.String(), "parcels") {
		t.Errorf("the log lacks trace %s, or has what the headers say:\n%s", id, log.String())
	}
}

func traceIDText(s *otlp.Span) string { return hex.EncodeToString(s.TraceId) }
