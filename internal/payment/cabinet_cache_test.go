package payment

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"jdpay-listener/internal/kernel"
)

// TestStaleCabinet: a cabinet's board was replaced, or the cabinet removed, after it was cached. The parcel's cell is not found
// by the cached cabinet, so the cabinet is read again.
func TestStaleCabinet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for id := range int64(5) {
		w.order(id+1, "8.00")
	}
	cache := &cacheOf{cabinets: map[string]kernel.Cabinet{
		"D1": {DeviceSN: "D1", MainDeviceID: 9001, DeviceType: 6}, // its board is another one now
		"D2": {DeviceSN: "D2", MainDeviceID: 9002, DeviceType: 6}, // it was removed
		"D3": {DeviceSN: "D3", MainDeviceID: 1003, DeviceType: 6}, // it has not changed, and no cell is assigned
		"D4": {DeviceSN: "D4", MainDeviceID: 1004, DeviceType: 2}, // its type has changed, but a cell was found: it is not read again
		"D5": {DeviceSN: "D5", MainDeviceID: 9005, DeviceType: 6}, // its row has become unusable
	}}
	w.exec("DELETE FROM kernel_device_group WHERE device_sn = 'D2'")
	w.exec("DELETE FROM kernel_smartbox_boxact_info WHERE post_order_id = '3'")
	w.exec("ALTER TABLE kernel_device_group MODIFY main_device_id BIGINT NULL")
	w.exec("UPDATE kernel_device_group SET main_device_id = NULL WHERE device_sn = 'D5'")
	p := NewParcels(w.db, kernel.PayInfo{})
	p.Cache = cache
	batch := []*lookup{{id: "1"}, {id: "2"}, {id: "3"}, {id: "4"}, {id: "5"}}
	errs := p.find(batch)
	var missing *kernel.MissingRowError
	if !errors.As(errs[1], &missing) || missing.Table != kernel.CabinetTable.Name {
		t.Errorf("the cabinet that was removed: %v", errs[1])
	}
	var bad *kernel.BadValueError
	if !errors.As(errs[4], &bad) || bad.Column != "main_device_id" {
		t.Errorf("the cabinet without an id: %v", errs[4])
	}
	for i, want := range map[int]Parcel{
		0: {Cabinet: kernel.Cabinet{DeviceSN: "D1", MainDeviceID: 1001, DeviceType: 6}, Waybill: "JD1", CellSN: "A1"},
		2: {Cabinet: kernel.Cabinet{DeviceSN: "D3", MainDeviceID: 1003, DeviceType: 6}, Waybill: "JD3"},
		3: {Cabinet: kernel.Cabinet{DeviceSN: "D4", MainDeviceID: 1004, DeviceType: 2}, Waybill: "JD4", CellSN: "A4"},
	} {
		if diff := cmp.Diff(want, batch[i].parcel); diff != "" || errs[i] != nil {
			t.Errorf("order %d: %v (-want +got):\n%s", i+1, errs[i], diff)
		}
	}
	if got := cache.cabinets["D1"]; got.MainDeviceID != 1001 {
		t.Errorf("the cache has still %+v", got)
	}
}

// lockedBuffer is a log for many goroutines.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// TestSeveralCells: of several cells the oldest is named in the command, as the replaced program did, and those that differ
// are logged.
func TestSeveralCells(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var log lockedBuffer
	w.steps.Report.Log = slog.New(slog.NewTextHandler(&log, nil))
	w.order(1, "8.00")
	w.order(2, "8.00")
	w.exec("INSERT INTO kernel_smartbox_boxact_info (id, main_device_id, act_type, post_order_id, cell_sn) VALUES (90, 1001, 0, '1', 'B1'), (92, 1002, 0, '2', 'A2')")
	w.serve()
	w.keep(pay("R1", "8.00"), pay("R2", "8.00"))
	w.eventually("the commands are sent", func() bool {
		return w.stepState(KindPayComplete, 1) == "done sent" && w.stepState(KindPayComplete, 2) == "done sent"
	})
	if c := w.commandTo(1); c.CellSN != "A1" {
		t.Errorf("the command names cell %q, want the oldest", c.CellSN)
	}
	lines := strings.Count(log.String(), "other_cell_sn=")
	if lines != 1 || !strings.Contains(log.String(), "order_no=R1 cell_sn=A1 other_cell_sn=B1") {
		t.Errorf("log:\n%s", log.String())
	}
}
