package daemon

import (
	"io"
	"log/slog"
	"net"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/printable"
	"jdpay-listener/internal/sqldb"
)

// NewLogger returns the daemon's logger and its level, which a changed configuration sets. Control characters are escaped in
// its lines, and so in alerts; a reader of JSON lines gets every text unchanged. version is the program's.
func NewLogger(c config.Logging, w io.Writer, version string) (*slog.Logger, *slog.LevelVar) {
	level := &slog.LevelVar{}
	level.Set(c.LogLevel.Default)
	opts := slog.HandlerOptions{Level: level}
	w = printable.Lines{W: w}
	switch c.Format {
	case "text":
		return slog.New(slog.NewTextHandler(w, &opts)), level
	case "ecs":
		return slog.New(newECSHandler(w, opts, version)), level
	default:
		return slog.New(slog.NewJSONHandler(w, &opts)), level
	}
}

// logStarted says which program has started, with what. ops is the address of the ops server, or nil.
func (d *daemon) logStarted(ops net.Addr) {
	address := ""
	if ops != nil {
		address = ops.String()
	}
	d.log.Info("started", "version", d.opts.Version, "commit", d.opts.Commit, "config_files", d.loaded.Files, "secret_files", d.loaded.SecretFiles,
		databaseAttr("account_database", d.cfg.ConnectionStrings.Account), databaseAttr("main_database", d.cfg.ConnectionStrings.Main), "ops_address", address,
		"notify_queue", d.cfg.JDPay.NotifyQueueName, "sync_reply_queue", d.cfg.SyncReply.QueueName, "jobs_enabled", d.cfg.Jobs.Enabled)
}

// databaseAttr names a database and its user; the password stays out.
func databaseAttr(name string, connection config.Secret) slog.Attr {
	db, _, err := sqldb.ParseConnectionString(connection.Reveal())
	if err != nil { // the daemon has opened it
		return slog.Group(name)
	}
	return slog.Group(name, "server", db.Config.Addr, "database", db.Config.DBName, "user", db.Config.User)
}
