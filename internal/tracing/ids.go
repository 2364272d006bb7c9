package tracing

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"

	"go.opentelemetry.io/otel/trace"
)

// IDs are the ids that a message's trace begins with.
type IDs struct {
	Trace trace.TraceID
	Span  trace.SpanID
}

// MessageIDs returns the ids of a message's trace. They are made of the queue's name, the message's id and which delivery it is: each
// delivery of a message has a span of its own in the same trace, whichever process receives it.
func MessageIDs(queue, messageID string, delivery int) (ids IDs) {
	sum := sha256.Sum256([]byte(queue + "\x00" + messageID))
	copy(ids.Trace[:], sum[:])
	sum = sha256.Sum256(fmt.Appendf(sum[:], "%d", delivery))
	copy(ids.Span[:], sum[:])
	return ids
}

type idsKey struct{}

// WithIDs makes the next root span in ctx have these ids.
func WithIDs(ctx context.Context, ids IDs) context.Context {
	return context.WithValue(ctx, idsKey{}, ids)
}

// ids generates random ids, except for what WithIDs asks for.
type ids struct{}

// NewIDs returns the ids of a root span.
func (ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if given, ok := ctx.Value(idsKey{}).(IDs); ok {
		return given.Trace, given.Span
	}
	var made IDs
	_, _ = rand.Read(made.Trace[:]) // never fails
	_, _ = rand.Read(made.Span[:])
	return made.Trace, made.Span
}

// NewSpanID returns the id of a span with a parent.
func (ids) NewSpanID(context.Context, trace.TraceID) (id trace.SpanID) {
	_, _ = rand.Read(id[:])
	return id
}

// Traceparent is a span's context in W3C's form, as a job's row has it.
func Traceparent(c trace.SpanContext) string {
	return "00-" + c.TraceID().String() + "-" + c.SpanID().String() + "-" + c.TraceFlags().String()
}

// Parse returns the span's context that a traceparent names, and whether it is one.
func Parse(traceparent string) (trace.SpanContext, bool) {
	const form = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	if len(traceparent) != len(form) || traceparent[:3] != "00-" {
		return trace.SpanContext{}, false
	}
	traceID, err := trace.TraceIDFromHex(traceparent[3:35])
	if err != nil {
		return trace.SpanContext{}, false
	}
	spanID, err := trace.SpanIDFromHex(traceparent[36:52])
	if err != nil {
		return trace.SpanContext{}, false
	}
	var flags trace.TraceFlags
	if traceparent[53:] == "01" {
		flags = trace.FlagsSampled
	}
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: traceID, SpanID: spanID, TraceFlags: flags, Remote: true}), true
}
