package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/device"
	"jdpay-listener/internal/jdapi"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/mns"
	"jdpay-listener/internal/payment"
	"jdpay-listener/internal/printable"
	"jdpay-listener/internal/tracing"
)

// traces says which spans there are. Each message has a trace of its own, named by its job's row and inherited by the steps:
//
//	keep NOTIFY_QUEUE                the message is being stored
//	├ settle                         each try of a job has a span, whichever instance makes it, and whenever
//	├ pay-complete
//	│ └ publish TOPIC                until the broker has it
//	├ waybill-status
//	│ └ POST PATH                    the JD call
//	└ pay-info
//
// A batch that is received is a trace by itself, receive NOTIFY_QUEUE, with a link to each message's.
type traces struct{ *tracing.Provider }

// newTraces returns nil if the OTEL_* variables do not turn tracing on, or ask for what there is not: payments go on without.
func (d *daemon) newTraces(ctx context.Context) *traces {
	on, err := tracing.Enabled(os.Getenv)
	var p *tracing.Provider
	switch {
	case on && d.cfg.Security.Strict && !tracing.Protected(os.Getenv):
		err = errors.New("Security:Strict wants an encrypted connection: give an https address in OTEL_EXPORTER_OTLP_ENDPOINT")
	case on:
		p, err = tracing.New(ctx, d.opts.Version, d.cfg.Host.Instance, d.log)
	}
	if err != nil {
		d.log.Error("no traces are made", "error", err)
	}
	if p == nil {
		return nil
	}
	d.ends.add("traces", p.Close)
	return &traces{p}
}

// received makes the span of a batch.
func (t *traces) received(queue string, batch []mns.Message, began time.Time) {
	links := make([]trace.Link, len(batch))
	for i, m := range batch {
		ids := tracing.MessageIDs(queue, m.ID, m.DequeueCount)
		links[i].SpanContext = trace.NewSpanContext(trace.SpanContextConfig{TraceID: ids.Trace, SpanID: ids.Span})
		links[i].Attributes = []attribute.KeyValue{attribute.String("messaging.message.id", printable.Text(m.ID))}
	}
	_, span := t.Start(context.Background(), "receive "+queue, trace.WithTimestamp(began), trace.WithSpanKind(trace.SpanKindClient), trace.WithLinks(links...),
		trace.WithAttributes(append(messaging(queue, "receive"), attribute.Int("messaging.batch.message_count", len(batch)))...))
	span.End()
}

func messaging(queue, operation string) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("messaging.system", "aliyun_mns"), attribute.String("messaging.destination.name", queue),
		attribute.String("messaging.operation.name", operation), attribute.String("messaging.operation.type", operation),
	}
}

// keep begins the messages' traces: it sets their Trace. kept ends their spans; those of a batch that could not be kept have no end,
// and are not exported.
func (t *traces) keep(queue string, batch []mns.Message, msgs []payment.Message) (kept func()) {
	spans := make([]trace.Span, len(batch))
	for i, m := range batch {
		ctx := tracing.WithIDs(context.Background(), tracing.MessageIDs(queue, m.ID, m.DequeueCount))
		_, spans[i] = t.Start(ctx, "keep "+queue, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(append(messaging(queue, "process"),
			attribute.String("messaging.message.id", printable.Text(m.ID)), attribute.Int("jdpay.delivery", m.DequeueCount))...))
		if !m.EnqueuedAt.IsZero() {
			spans[i].SetAttributes(attribute.Float64("jdpay.in_queue_ms", 1000*time.Since(m.EnqueuedAt).Seconds()))
		}
		msgs[i].Trace = tracing.Traceparent(spans[i].SpanContext())
	}
	return func() {
		for _, s := range spans {
			s.End()
		}
	}
}

// try makes the span of a job's try, in the trace of the job's message. A job that was kept without a trace gets none.
func (t *traces) try(ctx context.Context, j *job.Job) (context.Context, func(job.End)) {
	parent, ok := tracing.Parse(j.Trace)
	if !ok {
		return ctx, nil
	}
	ctx, span := t.Start(trace.ContextWithRemoteSpanContext(ctx, parent), j.Kind,
		trace.WithAttributes(attribute.Int64("jdpay.job_id", j.ID), attribute.Int("jdpay.try", j.Tries)))
	return ctx, func(e job.End) {
		if span.IsRecording() {
			span.SetAttributes(attribute.String("jdpay.order_no", printable.Text(j.Ref)), attribute.String("jdpay.state", string(e.State)), attribute.String("jdpay.outcome", string(e.Outcome)))
			for i := 0; i+1 < len(j.Notes); i += 2 {
				span.SetAttributes(attribute.String(fmt.Sprint("jdpay.", j.Notes[i]), printable.Text(fmt.Sprint(j.Notes[i+1]))))
			}
			setError(span, e.Err)
		}
		span.End()
	}
}

func setError(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, printable.Text(err.Error()))
	}
}

// tracedCabinets makes the spans of commands.
type tracedCabinets struct {
	*device.Session
	traces   *traces
	template string // of the topic
}

// Publish is that of the session.
func (c *tracedCabinets) Publish(ctx context.Context, cmd device.Command) error {
	ctx, span := c.traces.Start(ctx, "publish "+c.template, trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(
		attribute.String("messaging.system", "mqtt"), attribute.String("messaging.destination.template", c.template), attribute.String("messaging.operation.name", "publish"),
		attribute.String("messaging.operation.type", "send"), attribute.String("messaging.message.id", cmd.MessageId), attribute.String("jdpay.device_sn", printable.Text(cmd.DeviceGroupSN))))
	defer span.End()
	err := c.Session.Publish(ctx, cmd)
	setError(span, err)
	return err
}

// tracedJD makes the spans of calls to JD.
type tracedJD struct {
	*jdapi.Client
	traces       *traces
	server, path string
}

func newTracedJD(c *config.Config, jd *jdapi.Client, t *traces) *tracedJD {
	traced := &tracedJD{Client: jd, traces: t, path: c.JDApi.UpdateWaybillStatusPath}
	if u, err := url.Parse(c.JDApi.BaseUrl); err == nil {
		traced.server = u.Hostname()
		traced.path = strings.TrimSuffix(u.Path, "/") + traced.path
	}
	return traced
}

// UpdateWaybillStatus is that of the client. While JD is taken for down there is no call, and no span.
func (j *tracedJD) UpdateWaybillStatus(ctx context.Context, s jdapi.Status) (jdapi.Result, error) {
	ctx, span := j.traces.Start(ctx, "POST "+j.path, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("http.request.method", "POST"), attribute.String("server.address", j.server), attribute.String("url.path", j.path), attribute.String("jdpay.waybill", printable.Text(s.WaybillCode))))
	result, err := j.Client.UpdateWaybillStatus(ctx, s)
	var notCalled *jdapi.NotCalledError
	if errors.As(err, &notCalled) {
		return result, err
	}
	setError(span, err)
	span.End()
	return result, err
}
