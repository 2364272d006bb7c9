// Package replica has what replicas write down for people and for each other: that they live (jdpay_replica), what they did in each
// minute (jdpay_minute), and what an operator has paused (jdpay_pause). The migrations of package job create the tables. All
// times are the database's.
package replica

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"jdpay-listener/internal/sqldb"
)

// Interval is between two signs of life.
const Interval = 15 * time.Second

// silence is after which time without a sign of life a replica counts as gone.
const silence = 4 * Interval

// keep is how long rows of replicas that are gone, and of minutes, are kept.
const keep = 3 * 24 * time.Hour

// Replica is a running instance, or one that ended without saying so.
type Replica struct {
	Instance string    `json:"instance"`
	Version  string    `json:"version"`
	Started  time.Time `json:"started_at"`
	Seen     time.Time `json:"seen_at"` // the last sign of life
	Alive    bool      `json:"alive"`   // it gave a sign of life within the last minute
}

// Sign writes a sign of life of the instance with this lease, which began so long ago.
func Sign(ctx context.Context, db *sql.DB, lease, version string, age time.Duration) error {
	if len(version) > 128 {
		version = version[:128]
	}
	_, err := sqldb.Exec(ctx, db, `INSERT INTO jdpay_replica (lease, version, started_at, seen_at) VALUES (?, ?, DATE_SUB(UTC_TIMESTAMP(6), INTERVAL ? MICROSECOND), UTC_TIMESTAMP(6))
		ON DUPLICATE KEY UPDATE seen_at = VALUES(seen_at)`, lease, version, age.Microseconds())
	if err != nil {
		return fmt.Errorf("writing a sign of life: %w", err)
	}
	return nil
}

// Leave deletes the row of an instance that stops.
func Leave(ctx context.Context, db *sql.DB, lease string) error {
	_, err := sqldb.Exec(ctx, db, "DELETE FROM jdpay_replica WHERE lease = ?", lease)
	return err
}

// List returns the replicas, the newest sign of life first.
func List(ctx context.Context, db *sql.DB) ([]Replica, error) {
	rows, err := db.QueryContext(ctx, `SELECT lease, version, started_at, seen_at, seen_at >= DATE_SUB(UTC_TIMESTAMP(6), INTERVAL ? MICROSECOND)
		FROM jdpay_replica ORDER BY seen_at DESC LIMIT 100`, silence.Microseconds())
	if err != nil {
		return nil, fmt.Errorf("reading the replicas: %w", err)
	}
	defer rows.Close()
	list := []Replica{}
	for rows.Next() {
		var r Replica
		if err := rows.Scan(&r.Instance, &r.Version, &r.Started, &r.Seen, &r.Alive); err != nil {
			return nil, fmt.Errorf("reading the replicas: %w", err)
		}
		if i := strings.LastIndexByte(r.Instance, ':'); i > 0 { // what follows makes the lease unique
			r.Instance = r.Instance[:i]
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

// Purge deletes old rows.
func Purge(ctx context.Context, db *sql.DB) error {
	for _, from := range []string{"jdpay_minute WHERE minute", "jdpay_replica WHERE seen_at"} {
		if _, err := sqldb.Exec(ctx, db, "DELETE FROM "+from+" < DATE_SUB(UTC_TIMESTAMP(6), INTERVAL ? MICROSECOND) LIMIT 20000", keep.Microseconds()); err != nil {
			return fmt.Errorf("deleting what replicas wrote days ago: %w", err)
		}
	}
	return nil
}
