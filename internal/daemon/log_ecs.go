package daemon

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"time"

	"jdpay-listener/internal/document"
)

// ecsHandler writes JSON lines with the field names of the Elastic Common Schema, for pipelines to Elasticsearch. What the schema
// has no name for is under jdpay.
type ecsHandler struct{ slog.Handler }

func newECSHandler(w io.Writer, opts slog.HandlerOptions, version string) slog.Handler {
	opts.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) > 0 {
			return a
		}
		switch a.Key {
		case slog.TimeKey:
			a.Key = "@timestamp"
		case slog.LevelKey:
			a.Key = "log.level"
			if level, ok := a.Value.Any().(slog.Level); ok {
				a.Value = slog.StringValue(ecsLevel(level))
			}
		case slog.MessageKey:
			a.Key = "message"
		}
		return a
	}
	return ecsHandler{slog.NewJSONHandler(w, &opts).WithAttrs([]slog.Attr{
		slog.String("ecs.version", document.ECSVersion), slog.String("service.name", "jdpay-listener"), slog.String("service.version", version), slog.String("event.dataset", "jdpay-listener.log"),
	})}
}

func ecsLevel(l slog.Level) string {
	switch {
	case l < slog.LevelDebug:
		return "trace"
	case l > slog.LevelError:
		return "critical"
	default:
		return strings.ToLower(l.String())
	}
}

// ecsName returns a field's name in the schema.
func ecsName(key string) string {
	switch key {
	case "error":
		return "error.message"
	case "trace_id":
		return "trace.id"
	case "instance":
		return "service.node.name"
	case "kind":
		return "event.action"
	default:
		return "jdpay." + key
	}
}

// Handle adds to a line about a job how it ended: event.outcome is failure if a person has to look, else success.
func (h ecsHandler) Handle(ctx context.Context, r slog.Record) error {
	named := slog.NewRecord(r.Time.UTC(), r.Level, r.Message, r.PC)
	ended, failed := false, r.Level >= slog.LevelWarn
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "outcome":
			ended = true
		case "state":
			failed = failed || a.Value.String() == "parked"
		case "duration_ms":
			if ms, ok := number(a.Value); ok { // the schema wants nanoseconds
				named.AddAttrs(slog.Int64("event.duration", int64(ms*float64(time.Millisecond))))
				return true
			}
		case "version": // of the program, in every line
			return true
		}
		a.Key = ecsName(a.Key)
		named.AddAttrs(a)
		return true
	})
	if ended {
		outcome := "success"
		if failed {
			outcome = "failure"
		}
		named.AddAttrs(slog.String("event.outcome", outcome))
	}
	return h.Handler.Handle(ctx, named)
}

func number(v slog.Value) (float64, bool) {
	switch v.Kind() {
	case slog.KindInt64:
		return float64(v.Int64()), true
	case slog.KindFloat64:
		return v.Float64(), true
	}
	return 0, false
}

// WithAttrs returns a handler that adds fields to each line.
func (h ecsHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	named := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		named[i] = slog.Attr{Key: ecsName(a.Key), Value: a.Value}
	}
	return ecsHandler{h.Handler.WithAttrs(named)}
}

// WithGroup returns a handler that puts what follows under a name of its own.
func (h ecsHandler) WithGroup(name string) slog.Handler {
	return ecsHandler{h.Handler.WithGroup(ecsName(name))}
}
