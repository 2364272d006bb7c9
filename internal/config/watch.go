package config

import (
	"context"
	"reflect"
	"time"
)

// Watch calls load every so often until ctx ends. It compares contents, not times, so it also sees
// the symlinks Kubernetes swaps and the files editors rename.
//
// A changed and valid configuration goes to apply, with the keys that differ from current, the one the process started
// with, but need a restart; apply is to leave those alone. An unusable one goes to refuse, once for each content; the old
// values stay in force.
func Watch(ctx context.Context, every time.Duration, load func() (*Loaded, error), current *Loaded,
	apply func(next *Loaded, restart []string), refuse func(error),
) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	seen := current.digest
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		next, err := load()
		if next.digest == seen {
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
