package payment

import (
	"fmt"
	"strings"
	"testing"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/migrate"
	"jdpay-listener/internal/sandbox/schema"
	"jdpay-listener/internal/testenv"
)

// newWorldAt is newWorld on a server of its own, started with these arguments.
func newWorldAt(t *testing.T, args ...string) *world {
	t.Helper()
	testenv.NeedServers(t)
	server, err := testenv.StartMariaDB(args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return newWorld(t, func(w *world) {
		w.db = openDB(t, server.DSN(server.Create(t, schema.Account, schema.Main)))
		if _, _, err := migrate.Up(t.Context(), w.db); err != nil {
			t.Fatal(err)
		}
	})
}

// padded is a payment whose message is long.
func padded(order, pad string) string { return pay(order, "8.00", "note", pad) }

// TestBatchAboveMaxAllowedPacket: messages that are longer together than the server takes are stored, and hold up nobody.
func TestBatchAboveMaxAllowedPacket(t *testing.T) {
	t.Parallel()
	w := newWorldAt(t, "--max-allowed-packet=1M")
	w.serve()
	const payments = 40
	batch := make([]string, 0, 16)
	for id := range int64(payments) {
		w.order(id+1, "8.00")
		pad := ""
		if id%2 == 0 {
			pad = strings.Repeat("长", 14_000) // 42 KB, 56 KB as base64 in the envelope
		}
		if batch = append(batch, padded(fmt.Sprint("R", id+1), pad)); len(batch) == cap(batch) || id == payments-1 {
			w.keep(batch...)
			batch = batch[:0]
		}
	}
	w.eventually("all payments and their steps are done", func() bool {
		return len(w.strings("SELECT id FROM jdpay_job WHERE state = 'done'")) == 4*payments
	})
}

// TestMessageAboveMaxAllowedPacket: the one message that the server refuses even by itself is parked with as much of its body as
// the server takes, and the others of its batch are settled.
func TestMessageAboveMaxAllowedPacket(t *testing.T) {
	t.Parallel()
	w := newWorldAt(t, "--max-allowed-packet=32K")
	w.serve()
	w.order(1, "8.00")
	w.order(2, "8.00")
	long := padded("R9", strings.Repeat("x", 30_000))
	w.keep(pay("R1", "8.00"), long, pay("R2", "8.00"))
	w.eventually("both payments and their steps are done", func() bool {
		return len(w.strings("SELECT id FROM jdpay_job WHERE state = 'done'")) == 8
	})
	rows := w.strings("SELECT CONCAT_WS('|', state, outcome, last_error) FROM jdpay_job WHERE state <> 'done'")
	if len(rows) != 1 || !strings.HasPrefix(rows[0], "parked|not_storable|the database refuses this message; ") || !strings.Contains(rows[0], fmt.Sprintf("of its %d bytes", len(long))) {
		t.Fatalf("the long message: %q", rows)
	}
	kept := w.strings("SELECT args FROM jdpay_job WHERE state = 'parked'")[0]
	if len(kept) < len(long)/4 || !strings.HasPrefix(long, kept) {
		t.Errorf("%d of %d bytes are kept", len(kept), len(long))
	}
	if n := w.ended.count(KindSettle, job.Parked, NotStorable); n != 1 {
		t.Errorf("%d ends were reported as parked", n)
	}
}

// TestSettleAboveMaxAllowedPacket: payments whose descriptive texts are longer together than the server takes are settled.
func TestSettleAboveMaxAllowedPacket(t *testing.T) {
	t.Parallel()
	w := newWorldAt(t, "--max-allowed-packet=256K")
	w.exec("ALTER TABLE kernelorder_charge MODIFY order_source MEDIUMTEXT NULL")
	const payments = 12
	for id := range int64(payments) {
		w.order(id+1, "8.00")
		w.keep(pay(fmt.Sprint("R", id+1), "8.00", "orderSource", strings.Repeat("s", 40_000)))
	}
	w.serve() // claims all at once, so that they share a transaction
	w.eventually("all payments and their steps are done", func() bool {
		return len(w.strings("SELECT id FROM jdpay_job WHERE state = 'done'")) == 4*payments
	})
}
