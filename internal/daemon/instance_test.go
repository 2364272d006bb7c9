package daemon

import (
	"bytes"
	"context"
	"database/sql"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/setup"
	"jdpay-listener/internal/testenv"
)

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) count(text string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.buf.String(), text)
}

// TestInstanceWatch runs processes with the same and with other names.
func TestInstanceWatch(t *testing.T) {
	server := testenv.MariaDB(t)
	one, two := server.Create(t), server.Create(t)
	start := func(schema, instance string) (log *lockedBuffer, stop func()) {
		db, err := setup.OpenDatabase(config.NewSecret("Server=" + server.Host + ";Port=" + strconv.Itoa(server.Port) + ";Database=" + schema + ";Uid=root;SslMode=None"))
		if err != nil {
			t.Fatal(err)
		}
		db.SetMaxOpenConns(1)
		log = &lockedBuffer{}
		w := &instanceWatch{db: db, instance: instance, interval: 20 * time.Millisecond, log: slog.New(slog.NewTextHandler(log, nil))}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = w.Serve(ctx) }()
		stop = sync.OnceFunc(func() { cancel(); <-done; db.Close() })
		t.Cleanup(stop)
		return log, stop
	}
	db := server.Open(t, one)
	held := func() bool {
		var holder sql.NullInt64
		err := db.QueryRow("SELECT IS_USED_LOCK(CONCAT('jdpay:', LEFT(MD5(DATABASE()), 8), ':host-1'))").Scan(&holder)
		return err == nil && holder.Valid
	}
	const same, gone = "another process has the same Host:Instance", "no other process has this Host:Instance any more"
	first, stopFirst := start(one, "host-1")
	testenv.Eventually(t, 20*time.Second, "the first one to have the lock", held)
	elsewhere, _ := start(two, "host-1")
	other, _ := start(one, "host-2")
	second, _ := start(one, "host-1")
	third, _ := start(one, "host-1")
	testenv.Eventually(t, 20*time.Second, "both to be told", func() bool { return second.count(same) == 1 && third.count(same) == 1 })
	stopFirst()
	testenv.Eventually(t, 20*time.Second, "one to be told that it is alone", func() bool { return second.count(gone)+third.count(gone) == 1 })
	for name, log := range map[string]*lockedBuffer{"the first": first, "the second": second, "the third": third} {
		if log.count(same) > 1 {
			t.Errorf("%s was told %d times", name, log.count(same))
		}
	}
	if n := elsewhere.count(same) + other.count(same); n > 0 {
		t.Errorf("a process with another name, or in another database, was told")
	}
}
