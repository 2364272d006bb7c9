package sqldb

import (
	"context"
	"net"
	"testing"

	"github.com/go-sql-driver/mysql"

	"jdpay-listener/internal/testenv"
)

// TestCloseAfterTheConnectionBroke closes a database whose idle connection is broken. Close returns no error: the daemon may
// be stopped during an outage.
func TestCloseAfterTheConnectionBroke(t *testing.T) {
	server := testenv.MariaDB(t)
	var conn net.Conn
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.User, cfg.DBName = "tcp", server.Addr(), "root", server.Create(t)
	cfg.DialFunc = func(ctx context.Context, network, addr string) (_ net.Conn, err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, addr)
		return conn, err
	}
	db, err := Open(cfg, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.PingContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if err := db.Close(); err != nil {
		t.Errorf("got %v", err)
	}
}
