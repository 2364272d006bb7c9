package replica

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"jdpay-listener/internal/auditlog"
)

// Pause is what an operator has told all replicas to leave alone for a time: jobs of a kind, or the messages of a queue.
type Pause struct {
	Kind   string    `json:"kind,omitempty"`
	Queue  string    `json:"queue,omitempty"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"`
	Who    string    `json:"who"`
	Reason string    `json:"reason"`

	Left time.Duration `json:"-"` // by the database's clock
}

// queuePrefix begins the names of queues in the table; kinds have none.
const queuePrefix = "queue:"

// Name is the pause's key in the table.
func (p *Pause) Name() string {
	if p.Queue != "" {
		return queuePrefix + p.Queue
	}
	return p.Kind
}

// Pauses returns the pauses that have not ended.
func Pauses(ctx context.Context, db *sql.DB) ([]Pause, error) {
	return pauses(ctx, db, "ends_at > UTC_TIMESTAMP(6)")
}

func pauses(ctx context.Context, db *sql.DB, where string, args ...any) ([]Pause, error) {
	rows, err := db.QueryContext(ctx, "SELECT name, since, ends_at, who, reason, TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), ends_at) FROM jdpay_pause WHERE "+where+" ORDER BY name", args...)
	if err != nil {
		return nil, fmt.Errorf("reading what is paused: %w", err)
	}
	defer rows.Close()
	list := []Pause{}
	for rows.Next() {
		var p Pause
		var left int64
		if err := rows.Scan(&p.Kind, &p.Since, &p.Until, &p.Who, &p.Reason, &left); err != nil {
			return nil, fmt.Errorf("reading what is paused: %w", err)
		}
		if queue, ok := strings.CutPrefix(p.Kind, queuePrefix); ok {
			p.Kind, p.Queue = "", queue
		}
		p.Left = time.Duration(left) * time.Microsecond
		list = append(list, p)
	}
	return list, rows.Err()
}

// Begin pauses a kind or a queue for a time, or changes the end of its pause, and writes the act into jdpay_audit.
func Begin(ctx context.Context, db *sql.DB, by auditlog.Operator, p Pause, d time.Duration) (until time.Time, err error) {
	_, err = auditlog.Do(ctx, db, by, func(tx *sql.Tx) ([]auditlog.Change, error) {
		before, err := endOf(ctx, tx, p.Name())
		if err != nil {
			return nil, err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO jdpay_pause (name, since, ends_at, who, reason) VALUES (?, UTC_TIMESTAMP(6), DATE_ADD(UTC_TIMESTAMP(6), INTERVAL ? MICROSECOND), ?, ?)
			ON DUPLICATE KEY UPDATE since = VALUES(since), ends_at = VALUES(ends_at), who = VALUES(who), reason = VALUES(reason)`, p.Name(), d.Microseconds(), by.Name, by.Reason); err != nil {
			return nil, fmt.Errorf("storing the pause: %w", err)
		}
		if err := tx.QueryRowContext(ctx, "SELECT ends_at FROM jdpay_pause WHERE name = ?", p.Name()).Scan(&until); err != nil {
			return nil, fmt.Errorf("reading the pause: %w", err)
		}
		c := auditlog.Change{Act: ActPause, Detail: map[string]any{"name": p.Name(), "for": d.String()}, After: map[string]any{"until": until}}
		if before.Valid {
			c.Before = map[string]any{"until": before.Time}
		}
		return []auditlog.Change{c}, nil
	})
	return until, err
}

// The acts, as jdpay_audit names them.
const (
	ActPause  = "pause"
	ActResume = "resume"
)

// End ends the pause of a kind or a queue before its time, and writes the act into jdpay_audit. It reports whether there was one.
func End(ctx context.Context, db *sql.DB, by auditlog.Operator, p Pause) (ended bool, err error) {
	_, err = auditlog.Do(ctx, db, by, func(tx *sql.Tx) ([]auditlog.Change, error) {
		before, err := endOf(ctx, tx, p.Name())
		if ended = before.Valid; err != nil || !ended {
			return nil, err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM jdpay_pause WHERE name = ?", p.Name()); err != nil {
			return nil, fmt.Errorf("ending the pause: %w", err)
		}
		return []auditlog.Change{{Act: ActResume, Detail: map[string]any{"name": p.Name()}, Before: map[string]any{"until": before.Time}}}, nil
	})
	return ended, err
}

// endOf locks the pause and returns when it ends, NULL if there is none or it is over.
func endOf(ctx context.Context, tx *sql.Tx, name string) (until sql.NullTime, err error) {
	err = tx.QueryRowContext(ctx, "SELECT IF(ends_at > UTC_TIMESTAMP(6), ends_at, NULL) FROM jdpay_pause WHERE name = ? FOR UPDATE", name).Scan(&until)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return until, fmt.Errorf("reading the pause: %w", err)
	}
	return until, nil
}

// Ended returns the pauses that ended by themselves within the last d.
func Ended(ctx context.Context, db *sql.DB, d time.Duration) ([]Pause, error) {
	return pauses(ctx, db, "ends_at <= UTC_TIMESTAMP(6) AND ends_at > DATE_SUB(UTC_TIMESTAMP(6), INTERVAL ? MICROSECOND)", d.Microseconds())
}
