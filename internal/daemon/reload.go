package daemon

import (
	"context"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/setup"
)

// reload applies changed settings that need no restart, and logs those that do.
func (d *daemon) reload(ctx context.Context) {
	load := func() (*config.Loaded, error) { return setup.Load(*d.opts.Reload) }
	config.Watch(ctx, reloadInterval, d.opts.Reread, load, d.loaded, func(next *config.Loaded, restart []string) {
		c := next.Config
		if d.opts.Level != nil {
			d.opts.Level.Set(c.Logging.LogLevel.Default)
		}
		types := setup.PayTypes(c)
		d.settler.PayTypes.Store(&types)
		d.alerts.Configure(setup.AlertSettings(c))
		for _, kind := range setup.Kinds {
			d.runner.SetPolicy(kind, setup.Policy(c, kind))
		}
		d.log.Info("configuration reloaded", "files", next.Files)
		for _, key := range restart {
			d.log.Warn("a changed setting needs a restart to apply", "key", key)
		}
	}, func(err error) {
		d.log.Error("the changed configuration is refused; the old one stays in force", "error", err)
	})
}
