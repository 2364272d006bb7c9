package daemon

import (
	"context"
	"database/sql"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"jdpay-listener/internal/alert"
	"jdpay-listener/internal/kernel"
	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/schema"
	"jdpay-listener/internal/setup"
	"jdpay-listener/internal/testenv"
)

// TestMissingColumnIsTold drops a column before the daemon starts: the log and readiness name it and the statement that adds
// it, once; then that statement is run, and the payment is settled.
func TestMissingColumnIsTold(t *testing.T) {
	company, loaded := company(t)
	payment := sandbox.Stream(1)
	if err := company.Prepare(payment); err != nil {
		t.Fatal(err)
	}
	db, err := setup.OpenDatabase(loaded.Config.ConnectionStrings.Account)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	exec := func(statement string) {
		t.Helper()
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	const alter = "ALTER TABLE kernelorder_charge ADD COLUMN pay_type INT NULL"
	exec("ALTER TABLE kernelorder_charge DROP COLUMN pay_type")
	var log testenv.Buffer
	ctx, stop := context.WithCancel(t.Context())
	if err := Run(ctx, loaded, Options{
		Log: slog.New(slog.NewTextHandler(&log, nil)),
		OnReady: func(addr net.Addr) {
			defer stop()
			company.Send(payment[0])
			readiness := func() (string, int) {
				resp, err := http.Get("http://" + addr.String() + "/readyz")
				if err != nil {
					return err.Error(), 0
				}
				defer resp.Body.Close()
				body, _ := io.ReadAll(resp.Body)
				return string(body), resp.StatusCode
			}
			if !testenv.Poll(time.Minute, func() bool {
				text, code := readiness()
				return code == http.StatusServiceUnavailable && strings.Contains(text, alter)
			}) {
				text, _ := readiness()
				t.Errorf("readiness says nothing of the column: %s", text)
			}
			if !testenv.Poll(time.Minute, func() bool { return strings.Contains(log.String(), "alert=true") }) {
				t.Error("there is no alert")
			}
			if text := log.String(); strings.Count(text, "alert=true") != 1 || !strings.Contains(text, "missing: kernelorder_charge.pay_type") || !strings.Contains(text, alter) {
				t.Errorf("the log says:\n%s", text)
			}
			exec(alter)
			settled := func() (n int) {
				_ = db.QueryRow("SELECT COUNT(*) FROM kernelorder_charge WHERE is_paid = 1").Scan(&n)
				return n
			}
			if !testenv.Poll(time.Minute, func() bool { return settled() == 1 }) {
				t.Errorf("the payment is not settled:\n%s", log.String())
			}
		},
	}); err != nil {
		t.Errorf("Run: %v", err)
	}
}

// TestTableCheck requires an alert while something is missing, and that a database that does not answer is not taken for one without tables.
func TestTableCheck(t *testing.T) {
	t.Parallel()
	server := testenv.MariaDB(t)
	cfg, err := mysql.ParseDSN(server.DSN(server.Create(t, schema.Account, schema.Main)))
	if err != nil {
		t.Fatal(err)
	}
	down := false
	cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if down {
			return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
		}
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	db.SetMaxIdleConns(0)
	var log testenv.Buffer
	c := &tableCheck{name: "main", db: db, tables: kernel.MainTables}
	d := &daemon{log: slog.New(slog.NewTextHandler(&log, nil)), tables: []*tableCheck{c}, alerts: testTeller(t)}
	for _, step := range []struct {
		statement string
		down      bool
		lacks     bool
	}{
		{"DO 1", false, false},
		{"ALTER TABLE kernel_device_group DROP COLUMN device_type", false, true},
		{"DO 1", false, true},
		{"", true, true},
		{"DROP TABLE kernel_postorder_pay_info", false, true},
		{"ALTER TABLE kernel_device_group ADD COLUMN device_type INT NOT NULL", false, true},
		{strings.TrimSuffix(schema.Statements(schema.Main)[3], ";"), false, false},
		{"", true, false},
	} {
		if down = step.down; !down {
			if _, err := db.Exec(step.statement); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.checkTables(t.Context()); err != nil {
			t.Errorf("%s: %v", step.statement, err)
		}
		if lacks := c.lacks() != nil; lacks != step.lacks || d.alerts.Raised(alert.CauseMissing+"main") != lacks {
			t.Errorf("after %q: %v, want %v", step.statement, lacks, step.lacks)
		}
	}
}
