package daemon

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"jdpay-listener/internal/auditlog"
	"jdpay-listener/internal/migrate"
	"jdpay-listener/internal/testenv"
)

// TestActsAreLogged requires one line for each act since the instance's start, with its hash.
func TestActsAreLogged(t *testing.T) {
	t.Parallel()
	server := testenv.MariaDB(t)
	db := server.Open(t, server.Create(t))
	if _, _, err := migrate.Up(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	act := func(changes ...auditlog.Change) (last auditlog.Entry) {
		t.Helper()
		entries, err := auditlog.Do(t.Context(), db, auditlog.Operator{Name: "anna", Reason: "why"}, func(*sql.Tx) ([]auditlog.Change, error) { return changes, nil })
		if err != nil {
			t.Fatal(err)
		}
		return entries[len(entries)-1]
	}
	var log testenv.Buffer
	d := &daemon{account: db, log: slog.New(slog.NewJSONHandler(&log, nil))}
	read := 0
	run := func(want ...string) {
		t.Helper()
		if err := d.acts(t.Context()); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")[read:]
		read += len(want)
		if strings.TrimSpace(strings.Join(lines, "")) == "" {
			lines = nil
		}
		var got []string
		for _, line := range lines {
			var m map[string]any
			if err := json.Unmarshal([]byte(line), &m); err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%v: %v %v %v %v %v", m["msg"], m["act_id"], m["hash"], m["who"], m["order_no"], m["job_id"]))
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Fatalf("the log says\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	first := act(auditlog.Change{Act: "retry"})
	run("the newest act of an operator until now: 1 " + first.Hash + " <nil> <nil> <nil>")
	second, third := act(auditlog.Change{Act: "retry", Refs: []string{"R1"}, Jobs: []int64{5}}), act(auditlog.Change{Act: "discard", Refs: []string{"R1", "R2"}, Jobs: []int64{5, 6}})
	run("an operator acted: 2 "+second.Hash+" anna R1 5", "an operator acted: 3 "+third.Hash+" anna <nil> <nil>")
	run()
}
