package migrate

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// lateCause is the cause of the alert about a late job.
const lateCause = "late"

// moveAlerts stores in jdpay_alert what earlier versions kept as rows of kinds trouble and late: the open ones. It may be repeated. The old
// rows stay for replicas of the earlier version; the daemon deletes them.
func moveAlerts(ctx context.Context, tx *sql.Tx) error {
	rows, err := tx.QueryContext(ctx, `SELECT COALESCE(unique_key, ''), args, try_count, created_at, give_up_at FROM jdpay_job
		WHERE state IN ('waiting', 'ready') AND kind = 'trouble' ORDER BY id`)
	if err != nil {
		return fmt.Errorf("reading the alerts of an earlier version: %w", err)
	}
	var values [][]any
	for rows.Next() {
		var key string
		var args []byte
		var told int
		var since time.Time
		var until sql.NullTime
		if err = rows.Scan(&key, &args, &told, &since, &until); err != nil {
			break
		}
		about := struct {
			Order string            `json:"order_no"`
			Cause string            `json:"cause"`
			Job   int64             `json:"job_id"`
			Text  map[string]string `json:"text"`
			Event bool              `json:"event"`
		}{}
		key = strings.TrimPrefix(key, "trouble:")
		switch err := json.Unmarshal(args, &about); {
		case err != nil || about.Cause == "":
			about.Cause = "unknown" // somebody edited it
		case about.Job == 0 && !about.Event:
			key = about.Cause
		}
		due := any(nil)
		switch told = min(told, 2); {
		case told == 0:
			due = since
		case told == 1 && !about.Event:
			due = since.Add(time.Hour)
		}
		toldAt := any(nil)
		if told > 0 {
			toldAt = since
		}
		values = append(values, []any{
			key, about.Cause, text(about.Order),
			sql.NullInt64{Int64: about.Job, Valid: about.Job != 0},
			about.Event, text(about.Text["en"]), text(about.Text["zh"]),
			since, until, due, toldAt, told, told, told, told,
		})
	}
	if err := errors.Join(err, rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("reading the alerts of an earlier version: %w", err)
	}
	// A late job of which the log alone told, because no receiver is configured.
	rows, err = tx.QueryContext(ctx, `SELECT t.unique_key, t.ref, j.id, t.created_at FROM jdpay_job t JOIN jdpay_job j ON t.unique_key = CONCAT('late:', j.id)
		WHERE t.kind = 'late' AND j.state IN ('ready', 'running', 'waiting')`)
	if err != nil {
		return fmt.Errorf("reading the late jobs of an earlier version: %w", err)
	}
	for rows.Next() {
		var key string
		var ref sql.NullString
		var id int64
		var since time.Time
		if err = rows.Scan(&key, &ref, &id, &since); err != nil {
			break
		}
		values = append(values, []any{key, lateCause, ref, id, false, nil, nil, since, nil, nil, since, 1, 1, 1, 1})
	}
	if err := errors.Join(err, rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("reading the late jobs of an earlier version: %w", err)
	}
	for _, v := range values {
		// Without ON DUPLICATE KEY, for which jdpay_migrate would need the right to UPDATE.
		var n int
		err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM jdpay_alert WHERE unique_key = ?", v[0]).Scan(&n)
		if err == nil && n == 0 {
			_, err = tx.ExecContext(ctx, `INSERT INTO jdpay_alert (unique_key, cause, ref, job_id, event, text_en, text_zh, since, seen_until, due_at, told_at,
				told_dingtalk, told_wecom, told_feishu, told_webhook) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, v...)
		}
		if err != nil {
			return fmt.Errorf("moving an alert: %w", err)
		}
	}
	return nil
}

func text(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }
