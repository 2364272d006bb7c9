package sandbox

import (
	"database/sql"
	"testing"
	"time"
)

// TestWatchFindsTheOrderOfAnUnreadMessage: another program's message is in the table before the daemon has read its order
// number; its steps are counted all the same.
func TestWatchFindsTheOrderOfAnUnreadMessage(t *testing.T) {
	w := NewWatch(&Company{})
	steps := map[string]int{}
	ended := sql.NullTime{Time: time.Now(), Valid: true}
	w.note(jobRow{kind: "settle", args: "body", state: "running"}, steps)
	w.note(jobRow{kind: "settle", args: "body", ref: "R9", state: "done", outcome: "settled", finished: ended}, steps)
	for _, kind := range []string{"pay-complete", "waybill-status", "pay-info"} {
		w.note(jobRow{kind: kind, ref: "R9", state: "done", finished: ended}, steps)
	}
	if len(w.All()) != 1 || w.All()[0].OrderNo != "R9" || steps["R9"] != 3 {
		t.Errorf("%d messages, %+v, %d steps", len(w.All()), w.All()[0], steps["R9"])
	}
}
