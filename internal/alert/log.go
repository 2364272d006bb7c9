package alert

import (
	"context"
	"log/slog"
)

// Log logs what a person should see now: an Error line with alert=true. attrs are as of slog.Logger.Log.
func Log(ctx context.Context, log *slog.Logger, msg string, attrs ...any) {
	log.Log(ctx, slog.LevelError, msg, append([]any{"alert", true}, attrs...)...)
}
