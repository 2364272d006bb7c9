// Package browser looks at the console's pages with a real browser, Debian's Chromium: every page in both languages, narrow and
// wide, light and dark.
package browser

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"jdpay-listener/e2e/box"
	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/jdserver"
)

const (
	annaToken = "anna's long random text"
	boToken   = "bo's long random text!!"
	// hostile stands in every field that comes from outside.
	hostile = `<script>alert(1)</script><img src=x onerror=alert(2)>"'`
)

// TestPages runs pages.js, which prints a line for each fault. The console reads as jdpay_read and acts as jdpay_operator. With
// PICTURES=folder it also takes the pictures of docs/console.md.
func TestPages(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Minute)
	defer cancel()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("%v: install it with .ci/packages", err)
	}
	folder := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	packages := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	packages.Dir = folder
	if out, err := packages.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v: %s", err, out)
	}

	company := box.New(t, jdserver.Options{})
	job := fill(t, company)
	console := company.StartConsole(
		"Console__Listen=127.0.0.1:0", "Console__Tokens__anna="+annaToken, "Console__Tokens__bo="+boToken, "Console__Acts=true", "Console__Operators__0=anna",
		"Console__OperatorConnection="+box.Connection("jdpay_operator", company.MySQL.Host, company.MySQL.Port, company.Schema))
	var lines []map[string]any
	company.Eventually(30*time.Second, "the console listens", func() bool {
		lines = console.Lines("the console listens")
		return len(lines) > 0
	})

	look := exec.CommandContext(ctx, "node", "pages.js")
	look.Env = append(os.Environ(), "NODE_PATH="+filepath.Join(folder, "node_modules"), "CONSOLE=http://"+lines[0]["listen"].(string), "ANNA="+annaToken, "BO="+boToken, "HOSTILE="+hostile,
		"JOB="+strconv.FormatInt(job, 10), "CHROMIUM="+chromium)
	out, err := look.CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil || text != "looked at everything" {
		t.Errorf("%v:\n%s", err, text)
	}
	if acts := company.Strings("SELECT CONCAT(act, ' by ', who, ': ', reason) FROM jdpay_audit"); len(acts) != 1 || acts[0] != "retry by anna: the customer stands there" {
		t.Errorf("the trail has %q", acts)
	}
}

// fill settles payments with a daemon, whose cabinets do not answer, and adds rows with hostile texts. It returns the job of
// R7's command, which is parked.
func fill(t *testing.T, company *box.Company) (job int64) {
	t.Helper()
	daemon := company.Start()
	stream := box.Ordinary(7)
	company.Play(stream)
	company.Eventually(60*time.Second, "the payments are done", company.Drained)
	daemon.Stop()

	exec := func(statement string, args ...any) {
		t.Helper()
		if _, err := company.DB.Exec(statement, args...); err != nil {
			t.Fatalf("%.80s: %v", statement, err)
		}
	}
	for _, o := range []sandbox.Order{{ID: 7, Amount: "8.00", Device: "CAB-01", Type: 6, Cell: "A01"}, {ID: 7001, Amount: "9.00", Device: "CAB-02", Type: 6, Cell: "B01"}, {ID: 7002, Amount: "9.50", Device: "CAB-02", Type: 6, Cell: "B02"}} {
		if err := sandbox.AddOrders(company.DB, o); err != nil {
			t.Fatal(err)
		}
	}
	exec("UPDATE kernelorder_charge SET is_paid = 1, pay_amount = 8.00, external_id = 'X7' WHERE order_id = 7")
	exec(`INSERT INTO jdpay_job (id, kind, unique_key, ref, args, state, outcome, priority, try_count, next_try_at, created_at, finished_at, last_error) VALUES
		(801, 'settle', 'settle:q:M1', 'R7', '{}', 'done', 'settled', 15, 1, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), NULL),
		(802, 'pay-complete', 'pay-complete:7', 'R7', '{"order_id":7}', 'parked', 'expired', 15, 3, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), 'given up after 15m0s and 3 tries: no reply came'),
		(803, 'waybill-status', 'waybill-status:7', 'R7', '{"order_id":7}', 'ready', NULL, 15, 1, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), NULL, 'not connected to the mqtt broker'),
		(804, 'pay-info', 'pay-info:7', 'R7', '{"order_id":7}', 'done', 'written', 15, 1, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), NULL)`)
	exec("INSERT INTO jdpay_alert (unique_key, cause, ref, job_id, since, text_en, text_zh) VALUES ('expired/802', 'expired', 'R7', 802, UTC_TIMESTAMP(6), 'the door of R7 is closed', '订单 R7 的柜门未开')")
	exec("INSERT INTO jdpay_pause (name, since, ends_at, who, reason) VALUES ('pay-info', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) + INTERVAL 1 HOUR, 'anna', '维护')")

	exec("INSERT INTO kernelorder_charge (order_id, order_no, amount, is_paid, external_id) VALUES (9, ?, 9.00, 1, ?)", hostile, hostile)
	exec("INSERT INTO kernel_post_order (post_order_id, device_sn, express_number) VALUES ('9', ?, ?)", hostile, hostile)
	exec(`INSERT INTO jdpay_job (id, kind, unique_key, ref, args, state, outcome, priority, next_try_at, created_at, finished_at, last_error)
		VALUES (900, 'pay-complete', 'pay-complete:9', ?, '{}', 'done', 'discarded', 15, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), ?)`, hostile, hostile)
	return 802
}

// TestPackagesArePinned: what runs in the test has the contents that were looked at.
func TestPackagesArePinned(t *testing.T) {
	lock, err := os.ReadFile("package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(lock), `"integrity": "sha512-`); n != 2 || strings.Contains(string(lock), `"resolved"`) {
		t.Errorf("%d packages are pinned by their contents, want 2, and none by an address", n)
	}
}
