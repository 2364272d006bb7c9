package daemon

import (
	"context"
	"io"
	"log/slog"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/printable"
)

// NewLogger returns the daemon's logger and its level, which a changed configuration sets. Control characters are escaped in
// its lines, and so in alerts; a reader of JSON lines gets every text unchanged.
func NewLogger(c config.Logging, w io.Writer) (*slog.Logger, *slog.LevelVar) {
	level := &slog.LevelVar{}
	level.Set(c.LogLevel.Default)
	opts := &slog.HandlerOptions{Level: level}
	w = printable.Lines{W: w}
	if c.Format == "text" {
		return slog.New(slog.NewTextHandler(w, opts)), level
	}
	return slog.New(slog.NewJSONHandler(w, opts)), level
}

// alert returns a function that logs what a person should see now.
func alert(log *slog.Logger) func(ctx context.Context, msg string, attrs ...any) {
	return func(ctx context.Context, msg string, attrs ...any) {
		log.Log(ctx, slog.LevelError, msg, append([]any{"alert", true}, attrs...)...)
	}
}
