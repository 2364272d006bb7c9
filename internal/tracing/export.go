package tracing

import (
	"context"
	"log/slog"
	"sync/atomic"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// watched is an exporter that logs the begin and the end of an outage, and not each batch that is lost in it.
type watched struct {
	sdk.SpanExporter
	log  *slog.Logger
	lost atomic.Int64 // spans since the outage began; 0: none is on
}

// ExportSpans returns nil, also when the spans are lost: the caller could only log that.
func (w *watched) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := w.SpanExporter.ExportSpans(ctx, spans)
	switch {
	case err != nil:
		if w.lost.Add(int64(len(spans))) == int64(len(spans)) {
			w.log.Warn("traces cannot be exported; they are dropped, payments are not affected", "error", err)
		}
	default:
		if lost := w.lost.Swap(0); lost > 0 {
			w.log.Info("traces can be exported again", "dropped", lost)
		}
	}
	return nil
}
