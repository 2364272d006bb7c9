package config

import (
	"context"
	"os"
	"reflect"
	"time"
)

// Watch calls load at the interval, and for each signal of reread, until ctx ends. It compares contents, not times, so that it notices the symlinks that
// Kubernetes swaps and the files that editors rename.
//
// It calls apply with a changed and valid configuration, and with the keys that differ from current, with which the process
// started, and need a restart; apply must ignore those. It calls refuse with the error of an invalid one, once for each
// content; the old values stay in force. After a signal it does so even if the content is the same.
func Watch(ctx context.Context, interval time.Duration, reread <-chan os.Signal, load func() (*Loaded, error), current *Loaded,
	apply func(next *Loaded, restart []string), refuse func(error),
) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	seen := current.digest
	for {
		asked := false
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-reread:
			asked = true
		}
		next, err := load()
		if next.digest == seen && !asked {
			continue
		}
		seen = next.digest
		if err != nil {
			refuse(err)
			continue
		}
		apply(next, restartKeys(current.Config, next.Config))
	}
}

// restartKeys returns the keys that differ between two configurations and apply only after a restart.
func restartKeys(running, next *Config) []string {
	var keys []string
	was := running.options()
	for i, o := range next.options() {
		if o.Tag.Get("live") != "true" && !reflect.DeepEqual(was[i].Value.Interface(), o.Value.Interface()) {
			keys = append(keys, o.Key)
		}
	}
	return keys
}
