package daemon

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/migrate"
	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/setup"
	"jdpay-listener/internal/testenv"
)

// company starts stand-ins of all servers and returns the configuration of a daemon for them.
func company(t *testing.T) (*sandbox.Company, *config.Loaded) {
	t.Helper()
	company, err := sandbox.Start(10 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { company.Close() })
	loaded, err := setup.Load(config.Options{Files: []string{company.Settings}, Environ: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	db, err := setup.OpenDatabase(loaded.Config.ConnectionStrings.Account)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, _, err := migrate.Up(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return company, loaded
}

// runLabelled runs a daemon in this goroutine, for noneLeft.
func runLabelled(ctx context.Context, loaded *config.Loaded, opts Options) (err error) {
	pprof.Do(ctx, pprof.Labels("daemon", "this"), func(ctx context.Context) { err = Run(ctx, loaded, opts) })
	return err
}

// noneLeft fails the test if a goroutine of a daemon still runs. Those of libraries have two seconds to end.
func noneLeft(t *testing.T) {
	t.Helper()
	left := func(of string) (left []string) {
		var b bytes.Buffer
		if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
			t.Fatal(err)
		}
		for _, g := range strings.Split(b.String(), "\n\n") {
			// The library of MNS has one cleaner for each of its clients; it ends by itself, some seconds after the last connection.
			if strings.Contains(g, `"daemon":"this"`) && strings.Contains(g, of) && !strings.Contains(g, "fasthttp.(*Client).mCleaner") {
				left = append(left, g)
			}
		}
		return left
	}
	// A batcher's goroutine whose last results were taken looks once more for work before it ends.
	if !testenv.Poll(100*time.Millisecond, func() bool { return len(left("jdpay-listener/")) == 0 }) {
		t.Errorf("goroutines are left that Run has not waited for:\n%s", strings.Join(left("jdpay-listener/"), "\n\n"))
	}
	if !testenv.Poll(2*time.Second, func() bool { return len(left("")) == 0 }) {
		t.Errorf("goroutines are left:\n%s", strings.Join(left(""), "\n\n"))
	}
}

func answersOK(url string) bool {
	resp, err := http.Get(url)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// TestRun starts the whole daemon, sends it a payment, and stops it. It is ready once, and leaves no goroutine behind.
func TestRun(t *testing.T) {
	company, loaded := company(t)
	payment := sandbox.Stream(1)
	if err := company.Prepare(payment); err != nil {
		t.Fatal(err)
	}
	var log testenv.Buffer
	ctx, stop := context.WithCancel(t.Context())
	ready, address := 0, ""
	if err := runLabelled(ctx, loaded, Options{
		Version: "1.2.3", Commit: "abc",
		Log: slog.New(slog.NewTextHandler(&log, nil)), Reload: &config.Options{Files: loaded.Files},
		OnReady: func(addr net.Addr) {
			ready++
			address = addr.String()
			if addr == nil || !testenv.Poll(time.Minute, func() bool { return answersOK("http://" + addr.String() + "/readyz") }) {
				t.Error("the daemon does not become ready")
			}
			company.Send(payment[0])
			documents := func() (n int) {
				for _, docs := range company.ES.Docs() {
					n += len(docs)
				}
				return n
			}
			if !testenv.Poll(time.Minute, func() bool { return documents() == 6 }) {
				t.Errorf("%d documents, want 6: the payment, its three steps, the cabinet's reply and its publication", documents())
			}
			stop()
		},
	}); err != nil {
		t.Errorf("Run: %v", err)
	}
	noneLeft(t)
	if ready != 1 {
		t.Errorf("it was ready %d times; its log:\n%s", ready, log.String())
	}
	wanted := []string{
		"msg=started ", " version=1.2.3 commit=abc config_files=", filepath.Base(company.Settings), "account_database.database=company", "main_database.user=",
		"ops_address=" + address, `msg="payment settled"`,
	}
	for _, want := range wanted {
		if strings.Count(log.String(), want) != 1 {
			t.Errorf("the log has not once %s:\n%s", want, log.String())
		}
	}
}

// TestFailedStartClosesWhatWasOpened lets one of the last adapters be unusable.
func TestFailedStartClosesWhatWasOpened(t *testing.T) {
	_, loaded := company(t)
	loaded.Config.JDApi.CaFile = filepath.Join(t.TempDir(), "missing.pem")
	err := runLabelled(t.Context(), loaded, Options{Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "options of the jd api: CAFile") {
		t.Errorf("Run: %v", err)
	}
	noneLeft(t)
}
