package replica

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
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
	rows, err := db.QueryContext(ctx, `SELECT name, since, ends_at, who, reason, TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), ends_at)
		FROM jdpay_pause WHERE ends_at > UTC_TIMESTAMP(6) ORDER BY name`)
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
