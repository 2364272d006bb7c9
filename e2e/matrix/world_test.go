package matrix

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jdpay-listener/e2e/box"
	"jdpay-listener/internal/config"
	"jdpay-listener/internal/daemon"
	"jdpay-listener/internal/migrate"
	"jdpay-listener/internal/sandbox/jdserver"
	"jdpay-listener/internal/sandbox/schema"
	"jdpay-listener/internal/setup"
	"jdpay-listener/internal/testenv"
)

// faultCompany has the servers and cabinets that all worlds of TestStatementFaults share.
type faultCompany struct {
	*box.Company

	mu     sync.Mutex
	worlds map[int64]*faultWorld
}

func newFaultCompany(t *testing.T) *faultCompany {
	t.Helper()
	c := &faultCompany{Company: box.Servers(t), worlds: map[int64]*faultWorld{}}
	c.Cabinet.OnCommand(func(r box.Received) {
		order := orderOf(r)
		c.mu.Lock()
		w := c.worlds[order/worldOrders]
		c.mu.Unlock()
		if w != nil {
			w.behave(order, fmt.Sprint(r.Payload["MessageId"]))
		}
	})
	return c
}

// worldOrders is the number of order ids of a world: an order's id divided by it is the world's id.
const worldOrders = 1_000_000

func orderOf(r box.Received) (order int64) {
	fmt.Sscan(fmt.Sprint(r.Payload["PostOrderId"]), &order)
	return order
}

// faultWorld is a running daemon with a database of its own, behind a proxy that makes statements fail. The daemon runs in
// the test's process, so that many worlds need little memory.
type faultWorld struct {
	box.Company // with a database, a queue and a JD of its own; DB does not go through the proxy
	id          int64
	proxy       *testenv.MySQLProxy
	log         testenv.Buffer
	rounds      int64 // begun
	born        int64 // number of rounds at the last start

	stopRun context.CancelFunc
	ready   chan struct{} // closed when the daemon is ready
	done    chan error
	name    string       // of this start, the label of its goroutines
	starts  atomic.Int64 // of the daemon
	ended   atomic.Int64 // how often it ended by itself after it was ready

	mu       sync.Mutex
	silenced map[int64]bool // orders whose cabinet has not replied to a command
}

func (c *faultCompany) newWorld() (w *faultWorld, err error) {
	w = &faultWorld{Company: *c.Company, silenced: map[int64]bool{}}
	c.mu.Lock()
	w.id = int64(len(c.worlds) + 1)
	c.worlds[w.id] = w
	c.mu.Unlock()
	w.Schema = fmt.Sprintf("faults%d", w.id)
	if err := c.MySQL.CreateNamed(w.Schema, schema.Account, schema.Main); err != nil {
		return nil, err
	}
	if w.DB, err = sql.Open("mysql", c.MySQL.DSN(w.Schema)+"&tx_isolation='READ-COMMITTED'"); err != nil {
		return nil, err
	}
	w.DB.SetMaxOpenConns(3)
	if err := box.Grant(w.DB, w.Schema); err != nil {
		return nil, err
	}
	if _, _, err := migrate.Up(context.Background(), w.DB); err != nil {
		return nil, err
	}
	// The ids below are for old jobs that rounds insert.
	if _, err := w.DB.Exec("ALTER TABLE jdpay_job AUTO_INCREMENT = 100000"); err != nil {
		return nil, err
	}
	if w.proxy, err = testenv.StartMySQLProxy(c.MySQL.Addr(), alike); err != nil {
		return nil, err
	}
	if err := w.StartStandIns(jdserver.Options{}); err != nil {
		return nil, err
	}
	return w, w.start()
}

// close closes the world. Its database remains until the shared server ends.
func (w *faultWorld) close() error {
	err := w.stop()
	w.proxy.Close()
	w.MNS.Close()
	w.JD.Close()
	return errors.Join(err, w.DB.Close())
}

// env returns the daemon's configuration. Waits are short, and some limits are so low that jobs spill into the table.
func (w *faultWorld) env() []string {
	env := append(w.Settings(box.Connection("jdpay", w.proxy.Host, w.proxy.Port, w.Schema)+";Max Pool Size=8"),
		"SyncReply__QueueName="+box.ReplyQueue, "SyncReply__PendingCodes__0=BUSY", "Payment__UnknownOrderWindow=5m", "Payment__GracePeriod=1ms",
		"Mqtt__RequireReply=true", "Mqtt__ReplyTimeout=400ms", "JDApi__Timeout=1500ms", "Host__Instance="+w.Schema, "Jobs__Concurrency__pay-info=1",
	)
	for _, kind := range setup.Kinds {
		env = append(env, "Jobs__Retry__"+kind+"__FirstWait=100ms", "Jobs__Retry__"+kind+"__MaxWait=400ms")
	}
	return env
}

// start starts the daemon, and starts it again when it ends by itself, as systemd would. It returns when it is ready.
func (w *faultWorld) start() error {
	loaded, err := setup.Load(config.Options{Environ: w.env(), Dir: w.T.TempDir()})
	if err != nil {
		return err
	}
	log, _ := daemon.NewLogger(loaded.Config.Logging, &w.log, "test")
	ctx, stop := context.WithCancel(context.Background())
	w.stopRun, w.done, w.ready, w.born = stop, make(chan error, 1), make(chan struct{}), w.rounds
	w.name = fmt.Sprintf("%s start %d", w.Schema, w.starts.Load()+1)
	ready, done := w.ready, w.done
	go pprof.Do(ctx, pprof.Labels("world", w.name), func(ctx context.Context) { done <- w.run(ctx, loaded, log, ready) })
	select {
	case <-ready:
		return nil
	case err := <-done:
		return fmt.Errorf("the daemon does not start: %w", err)
	case <-time.After(roundTimeout):
		stop()
		return errors.New("the daemon does not start")
	}
}

func (w *faultWorld) run(ctx context.Context, loaded *config.Loaded, log *slog.Logger, ready chan<- struct{}) error {
	for signaled := false; ; {
		w.starts.Add(1)
		ran := false
		err := daemon.Run(ctx, loaded, daemon.Options{Log: log, OnReady: func(net.Addr) {
			ran = true
			if !signaled {
				signaled = true
				close(ready)
			}
		}})
		if ctx.Err() != nil {
			return err
		}
		fmt.Fprintf(&w.log, "the daemon ended by itself: %v\n", err)
		if ran {
			w.ended.Add(1)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil
		}
	}
}

// stop stops the daemon, and returns an error if it does not stop cleanly or leaves a goroutine behind.
func (w *faultWorld) stop() error {
	w.stopRun()
	select {
	case err := <-w.done:
		if err != nil {
			return fmt.Errorf("the daemon stopped with: %w", err)
		}
	case <-time.After(time.Minute):
		return errors.New("the daemon does not stop")
	}
	var left []string
	if !testenv.Poll(15*time.Second, func() bool { left = goroutinesOf(w.name); return len(left) == 0 }) {
		return fmt.Errorf("%d goroutines are left:\n%s", len(left), strings.Join(left, "\n\n"))
	}
	return nil
}

// goroutinesOf returns the goroutines that were started by the daemon of a world.
func goroutinesOf(name string) (left []string) {
	var b bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
		return []string{err.Error()}
	}
	for _, g := range strings.Split(b.String(), "\n\n") {
		// One cleaner for each HTTP client of the MNS library; it ends by itself, some seconds after its last connection.
		if strings.Contains(g, fmt.Sprintf(`"world":%q`, name)) && !strings.Contains(g, "fasthttp.(*Client).mCleaner") {
			left = append(left, g)
		}
	}
	return left
}

func (w *faultWorld) restart() error { return errors.Join(w.stop(), w.start()) }
