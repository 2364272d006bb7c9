package alert

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/sqldb"
)

const (
	// stateTimeout is how long after it was last seen an alert of an instance is over: another instance may see it still.
	stateTimeout = 75 * time.Second
	eventTimeout = 24 * time.Hour // for how long an event counts as open
	// reminderInterval is how long after the notice that an alert has opened people are reminded, once.
	reminderInterval = time.Hour
	// leaseTime is for how long one instance may send before another one takes over.
	leaseTime = 10 * time.Second
	pageRows  = 500
)

// The times are computed by the database, from one clock.
const (
	dbNow    = "UTC_TIMESTAMP(6)"
	dbLater  = "DATE_ADD(UTC_TIMESTAMP(6), INTERVAL ? MICROSECOND)"
	dbBefore = "DATE_SUB(UTC_TIMESTAMP(6), INTERVAL ? MICROSECOND)"
)

// Stages of what a receiver was told of an alert.
const (
	toldOpened = iota + 1
	toldReminder
	toldOver
)

// toldColumns are the columns with each receiver's stage.
var toldColumns = func() (columns []string) {
	for _, name := range Targets {
		columns = append(columns, "told_"+strings.ToLower(name))
	}
	return columns
}()

// store is table jdpay_alert.
type store struct{ db *sql.DB }

// row is an alert as the table has it, or as an instance remembers it while the table cannot be used.
type row struct {
	id       int64
	cause    string
	order    string
	job      int64
	event    bool
	text     map[lang.Lang]string
	since    time.Time
	over     bool
	lasting  bool // a reminder is due
	silenced bool
	told     map[string]int // by the receiver's name: the stage
	seen     *seen          // what the instance remembers; nil: the row is in the table
}

// fit returns a text that fits its column.
func fit(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return cut(text, limit-66) + "#" + hex.EncodeToString(sum[:])[:60]
}

// insertColumns are the columns of new rows, in the order of insertValues.
var insertColumns = "unique_key, cause, ref, job_id, event, text_en, text_zh, since, seen_until, due_at, told_at, " + strings.Join(toldColumns, ", ")

func insertRow() string {
	return "(?, ?, ?, ?, ?, ?, ?, " + dbBefore + ", " + dbLater + ", " + dbNow + ", IF(? > 0, " + dbNow + ", NULL)" + strings.Repeat(", ?", len(toldColumns)) + ")"
}

// insertValues are the values of a new row. A timeout of 0 means that the alert does not end by time.
func insertValues(a *Alert, timeout time.Duration, told map[string]int) []any {
	age := time.Duration(0)
	if !a.Since.IsZero() {
		age = max(time.Since(a.Since), 0)
	}
	var en, zh, until any
	if !a.Text.IsZero() {
		en, zh = cut(a.Text.In(lang.English), 2000), cut(a.Text.In(lang.Chinese), 2000)
	}
	if timeout >= 0 {
		until = timeout.Microseconds()
	}
	values := []any{fit(a.key(), 191), fit(a.Cause, 64), null(cut(a.Order, 64)), sql.NullInt64{Int64: a.JobID, Valid: a.JobID != 0}, a.Event, en, zh, age.Microseconds(), until}
	most := 0
	for _, name := range Targets {
		most = max(most, told[name])
	}
	values = append(values, most)
	for _, name := range Targets {
		values = append(values, told[name])
	}
	return values
}

func null(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// forever is the timeout of an alert that does not end by time.
const forever = time.Duration(-1)

// raise stores an alert, or prolongs the open one of its key, and reports whether it is new. told is what receivers know of it.
func (s store) raise(ctx context.Context, a *Alert, timeout time.Duration, told map[string]int) (isNew bool, err error) {
	var n int
	if err := s.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM jdpay_alert WHERE unique_key = ?", fit(a.key(), 191)).Scan(&n); err != nil {
		return false, fmt.Errorf("looking for an open alert: %w", err)
	}
	update := " ON DUPLICATE KEY UPDATE text_en = VALUES(text_en), text_zh = VALUES(text_zh), seen_until = GREATEST(COALESCE(seen_until, VALUES(seen_until)), VALUES(seen_until))"
	for _, column := range toldColumns {
		update += ", " + column + " = GREATEST(" + column + ", VALUES(" + column + "))"
	}
	if _, err := sqldb.Exec(ctx, s.db, "INSERT INTO jdpay_alert ("+insertColumns+") VALUES "+insertRow()+update, insertValues(a, timeout, told)...); err != nil {
		return false, fmt.Errorf("storing an alert: %w", err)
	}
	return n == 0, nil
}

// raiseAll stores alerts that do not end by time; open ones of their keys stay as they are. Of several rows in one statement one
// that meets another session's can be lost (MySQL's bug 66301); whoever calls it looks for such alerts again.
func (s store) raiseAll(ctx context.Context, alerts []Alert) error {
	for part := range slices.Chunk(alerts, 200) {
		var args []any
		for i := range part {
			args = append(args, insertValues(&part[i], forever, nil)...)
		}
		_, err := sqldb.Exec(ctx, s.db, sqldb.Rows("INSERT INTO jdpay_alert ("+insertColumns+") VALUES ", insertRow(),
			" ON DUPLICATE KEY UPDATE cause = IF(unique_key <=> VALUES(unique_key), cause, NULL)", len(part)), args...)
		if err != nil {
			return fmt.Errorf("storing %d alerts: %w", len(part), err)
		}
	}
	return nil
}

// lease makes an instance the one that sends, or keeps it, and reports whether it is. It is a row of jdpay_cursor and no job: alerts must
// come also where jobs do not run. A time far in the future is one of a clock that was set back.
func (s store) lease(ctx context.Context, owner int64) (mine bool, err error) {
	res, err := s.db.ExecContext(ctx, `UPDATE jdpay_cursor SET job_id = ?, finished_at = `+dbLater+` WHERE name = 'alerts'
		AND (job_id = ? OR finished_at < `+dbNow+` OR finished_at > `+dbLater+`)`, owner, leaseTime.Microseconds(), owner, 2*leaseTime.Microseconds())
	if err != nil {
		return false, fmt.Errorf("taking the turn to send alerts: %w", err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// prepare makes the row of the lease, once.
func (s store) prepare(ctx context.Context) error {
	_, err := s.db.ExecContext(ctx, "INSERT INTO jdpay_cursor (name, finished_at, job_id) VALUES ('alerts', '1971-01-01', 0) ON DUPLICATE KEY UPDATE name = name")
	if err != nil {
		return fmt.Errorf("preparing the turn to send alerts: %w", err)
	}
	return nil
}

// release lets another instance send at once.
func (s store) release(ctx context.Context, owner int64) error {
	_, err := s.db.ExecContext(ctx, "UPDATE jdpay_cursor SET finished_at = "+dbNow+" WHERE name = 'alerts' AND job_id = ?", owner)
	return err
}

// rows reads the rows that a condition selects, all of them, in pages. The condition follows WHERE.
func (s store) rows(ctx context.Context, where string, args ...any) (list []row, err error) {
	for last := int64(0); ; {
		page, err := s.page(ctx, where+" AND a.id > ? ORDER BY a.id LIMIT ?", append(slices.Clone(args), last, pageRows)...)
		if err != nil {
			return nil, fmt.Errorf("reading alerts: %w", err)
		}
		list = append(list, page...)
		if len(page) < pageRows {
			return list, nil
		}
		last = page[len(page)-1].id
	}
}

func (s store) page(ctx context.Context, where string, args ...any) (list []row, err error) {
	rows, err := s.db.QueryContext(ctx, `SELECT a.id, a.cause, COALESCE(a.ref, ''), COALESCE(a.job_id, 0), a.event, COALESCE(a.text_en, ''), COALESCE(a.text_zh, ''), a.since,
		a.over_at IS NOT NULL, COALESCE(a.told_at <= `+dbBefore+` OR a.told_at < a.silenced_until, 0), COALESCE(a.silenced_until > `+dbNow+`, 0), a.`+strings.Join(toldColumns, ", a.")+`
		FROM jdpay_alert a WHERE `+where, append([]any{reminderInterval.Microseconds()}, args...)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		r := row{told: map[string]int{}}
		var en, zh string
		told := make([]int, len(Targets))
		dest := []any{&r.id, &r.cause, &r.order, &r.job, &r.event, &en, &zh, &r.since, &r.over, &r.lasting, &r.silenced}
		for i := range told {
			dest = append(dest, &told[i])
		}
		if err := rows.Scan(dest...); err != nil {
			return nil, err
		}
		for i, name := range Targets {
			r.told[name] = told[i]
		}
		r.text = map[lang.Lang]string{lang.English: en, lang.Chinese: zh}
		list = append(list, r)
	}
	return list, rows.Err()
}

// update changes the rows with these ids, in parts.
func (s store) update(ctx context.Context, ids []int64, set string, args ...any) error {
	for part := range slices.Chunk(ids, pageRows) {
		all := slices.Clone(args)
		for _, id := range part {
			all = append(all, id)
		}
		if _, err := sqldb.Exec(ctx, s.db, "UPDATE jdpay_alert SET "+set+" WHERE id IN "+sqldb.In(len(part)), all...); err != nil {
			return fmt.Errorf("changing %d alerts: %w", len(part), err)
		}
	}
	return nil
}

// end notes that alerts are over. The next one of the same key is another one. Of a silent end nobody is told.
func (s store) end(ctx context.Context, rows []row, silent bool) error {
	due := dbNow
	if silent {
		due = "NULL"
	}
	return s.update(ctx, idsOf(rows), "due_at = IF(over_at IS NULL, "+due+", due_at), over_at = COALESCE(over_at, "+dbNow+"), unique_key = NULL")
}

// rest notes of rows of which nothing is to be sent now when the next notice is due. over is their state when that was found.
func (s store) rest(ctx context.Context, ids []int64, over bool) error {
	set := "due_at = IF(over_at IS NULL, due_at, NULL)"
	if !over {
		set = fmt.Sprintf(`due_at = CASE WHEN over_at IS NOT NULL THEN due_at WHEN silenced_until > `+dbNow+` THEN silenced_until
			WHEN event = 0 AND GREATEST(`+strings.Join(toldColumns, ", ")+`) = %d THEN DATE_ADD(told_at, INTERVAL %d MICROSECOND) ELSE NULL END`, toldOpened, reminderInterval.Microseconds())
	}
	return s.update(ctx, ids, set)
}

// purge deletes alerts that have been over for longer than keep.
func (s store) purge(ctx context.Context, keep time.Duration) error {
	for {
		res, err := sqldb.Exec(ctx, s.db, "DELETE FROM jdpay_alert WHERE over_at < "+dbBefore+" LIMIT 1000", keep.Microseconds())
		if err != nil {
			return fmt.Errorf("deleting old alerts: %w", err)
		}
		if n, err := res.RowsAffected(); err != nil || n < 1000 {
			return err
		}
	}
}

func idsOf(rows []row) []int64 {
	ids := make([]int64, len(rows))
	for i := range rows {
		ids[i] = rows[i].id
	}
	return ids
}

var errGone = lang.Errorf("there is no such open alert")
