package daemon

import (
	"context"
	"io"
	"log/slog"

	"jdpay-listener/internal/config"
)

// NewLogger returns the daemon's logger and the level that a changed configuration may move.
func NewLogger(c config.Logging, w io.Writer) (*slog.Logger, *slog.LevelVar) {
	level := &slog.LevelVar{}
	level.Set(c.LogLevel.Default)
	opts := &slog.HandlerOptions{Level: level}
	if c.Format == "text" {
		return slog.New(slog.NewTextHandler(w, opts)), level
	}
	return slog.New(slog.NewJSONHandler(w, opts)), level
}

// alert logs what a person should see now.
func alert(log *slog.Logger) func(ctx context.Context, msg string, attrs ...any) {
	return func(ctx context.Context, msg string, attrs ...any) {
		log.Log(ctx, slog.LevelError, msg, append([]any{"alert", true}, attrs...)...)
	}
}
