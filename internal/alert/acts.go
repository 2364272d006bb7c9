package alert

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"jdpay-listener/internal/auditlog"
	"jdpay-listener/internal/lang"
)

// Open is an alert as `alerts` shows it.
type Open struct {
	ID       int64        `json:"id"`
	Cause    string       `json:"cause"`
	Title    lang.Message `json:"title"`
	Page     bool         `json:"page"`
	Order    string       `json:"order_no,omitempty"`
	JobID    int64        `json:"job_id,omitempty"`
	Text     string       `json:"text,omitempty"`
	Since    time.Time    `json:"since"`
	Told     []string     `json:"told"` // the receivers that know
	ToldAt   *time.Time   `json:"told_at,omitempty"`
	Error    string       `json:"send_error,omitempty"` // why a receiver did not take the last notice
	Silenced *time.Time   `json:"silenced_until,omitempty"`
	By       string       `json:"silenced_by,omitempty"`
	Why      string       `json:"silence_reason,omitempty"`
}

// List returns the newest open alerts, at most limit of them, with their texts in a language, and how many there are.
func List(ctx context.Context, db *sql.DB, limit int, in lang.Lang) (list []Open, n int, err error) {
	if err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM jdpay_alert WHERE over_at IS NULL").Scan(&n); err != nil {
		return nil, 0, fmt.Errorf("counting open alerts: %w", err)
	}
	column := map[lang.Lang]string{lang.English: "text_en", lang.Chinese: "text_zh"}[in]
	rows, err := db.QueryContext(ctx, `SELECT id, cause, COALESCE(ref, ''), COALESCE(job_id, 0), COALESCE(`+column+`, ''), since, told_at, COALESCE(send_error, ''),
		IF(silenced_until > `+dbNow+`, silenced_until, NULL), COALESCE(silenced_by, ''), COALESCE(silence_reason, ''), `+strings.Join(toldColumns, ", ")+`
		FROM jdpay_alert WHERE over_at IS NULL ORDER BY id DESC LIMIT ?`, limit)
	if err != nil {
		return nil, 0, fmt.Errorf("reading open alerts: %w", err)
	}
	defer rows.Close()
	list = []Open{}
	for rows.Next() {
		o := Open{Told: []string{}}
		var toldAt, silenced sql.NullTime
		told := make([]int, len(Targets))
		dest := []any{&o.ID, &o.Cause, &o.Order, &o.JobID, &o.Text, &o.Since, &toldAt, &o.Error, &silenced, &o.By, &o.Why}
		for i := range told {
			dest = append(dest, &told[i])
		}
		if err := rows.Scan(dest...); err != nil {
			return nil, 0, fmt.Errorf("reading open alerts: %w", err)
		}
		for i, name := range Targets {
			if told[i] > 0 {
				o.Told = append(o.Told, name)
			}
		}
		if toldAt.Valid {
			o.ToldAt = &toldAt.Time
		}
		if silenced.Valid {
			o.Silenced = &silenced.Time
		} else {
			o.By, o.Why = "", ""
		}
		o.Title, o.Page = Title(o.Cause), Pages(o.Cause)
		list = append(list, o)
	}
	return list, n, rows.Err()
}

// Silence keeps an open alert quiet for a time: no notice comes of it, unless it is over. When the time ends and it is still open, people are
// reminded. The act is written into jdpay_audit. It returns an error if there is no such open alert.
func Silence(ctx context.Context, db *sql.DB, by auditlog.Operator, id int64, d time.Duration) (until time.Time, err error) {
	_, err = auditlog.Do(ctx, db, by, func(tx *sql.Tx) ([]auditlog.Change, error) {
		var cause, ref string
		var job int64
		var before sql.NullTime
		err := tx.QueryRowContext(ctx, "SELECT cause, COALESCE(ref, ''), COALESCE(job_id, 0), silenced_until FROM jdpay_alert WHERE id = ? AND over_at IS NULL FOR UPDATE", id).Scan(&cause, &ref, &job, &before)
		if err == sql.ErrNoRows {
			return nil, lang.Errorf("alert %d: %s", id, errGone)
		}
		if err != nil {
			return nil, fmt.Errorf("reading the alert: %w", err)
		}
		set := ""
		for _, column := range toldColumns {
			set += ", " + column + " = LEAST(" + column + ", 1)"
		}
		if _, err := tx.ExecContext(ctx, "UPDATE jdpay_alert SET silenced_until = "+dbLater+", due_at = "+dbLater+", silenced_by = ?, silence_reason = ?"+set+" WHERE id = ?",
			d.Microseconds(), d.Microseconds(), by.Name, by.Reason, id); err != nil {
			return nil, fmt.Errorf("silencing the alert: %w", err)
		}
		if err := tx.QueryRowContext(ctx, "SELECT silenced_until FROM jdpay_alert WHERE id = ?", id).Scan(&until); err != nil {
			return nil, fmt.Errorf("reading the alert: %w", err)
		}
		c := auditlog.Change{Act: "silence", Detail: map[string]any{"alert": id, "cause": cause, "for": d.String()}, After: map[string]any{"silenced_until": until}}
		if before.Valid {
			c.Before = map[string]any{"silenced_until": before.Time}
		}
		if ref != "" {
			c.Refs = []string{ref}
		}
		if job != 0 {
			c.Jobs = []int64{job}
		}
		return []auditlog.Change{c}, nil
	})
	return until, err
}

// formerKinds are the kinds of rows of the job table that alerts were in versions before table jdpay_alert, and of their workers.
var formerKinds = []string{"trouble", "late", "alert", "tell-troubles", "grace-period"}

// Purge deletes alerts that have been over for longer than keep, and what earlier versions left in the job table.
func (t *Teller) Purge(ctx context.Context, keep time.Duration) error {
	if err := t.jobs.DropKinds(ctx, formerKinds); err != nil {
		return err
	}
	return t.store.purge(ctx, keep)
}

// countOpen sets the gauge of open alerts.
func (t *Teller) countOpen(ctx context.Context) error {
	rows, err := t.store.db.QueryContext(ctx, "SELECT cause, COUNT(*) FROM jdpay_alert WHERE over_at IS NULL GROUP BY cause")
	if err != nil {
		return fmt.Errorf("counting open alerts: %w", err)
	}
	defer rows.Close()
	open := map[string]float64{}
	for name := range catalogue {
		base, _, _ := strings.Cut(name, "/")
		open[base] = 0
	}
	for rows.Next() {
		var name string
		var n float64
		if err := rows.Scan(&name, &n); err != nil {
			return fmt.Errorf("counting open alerts: %w", err)
		}
		base, _, _ := strings.Cut(name, "/")
		open[base] += n
	}
	for base, n := range open {
		t.opts.Metrics.OpenAlerts.WithLabelValues(base).Set(n)
	}
	return rows.Err()
}
