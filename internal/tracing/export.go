package tracing

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"

	"jdpay-listener/internal/outage"
)

// watched is an exporter that logs the begin and the end of an outage, and not each batch that is lost in it.
type watched struct {
	sdk.SpanExporter
	log    *slog.Logger
	outage outage.Outage
	lost   atomic.Int64 // spans since the outage began
}

// ExportSpans returns nil, also when the spans are lost: the caller could only log that.
func (w *watched) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := w.SpanExporter.ExportSpans(ctx, spans)
	if err != nil {
		w.lost.Add(int64(len(spans)))
	}
	w.outage.Note(time.Now(), err, func() {
		w.log.Warn("traces cannot be exported; they are dropped, payments are not affected", "error", err)
	}, func(time.Duration) {
		w.log.Info("traces can be exported again", "dropped", w.lost.Swap(0))
	})
	return nil
}
