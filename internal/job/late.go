package job

import (
	"context"
	"fmt"
	"time"

	"jdpay-listener/internal/sqldb"
)

// Late is an unfinished job that should be done by now.
type Late struct {
	ID     int64
	Kind   string
	Ref    string
	State  State
	Tries  int
	Reason string // its last error; empty if there was none
	Age    time.Duration
}

// outcomeLate marks an unfinished job that a person has been told of. It makes room for the job's outcome when it ends.
const outcomeLate = "late"

// maxLate bounds how many late jobs one look returns: during an outage there are many.
const maxLate = 500

// Late returns the unfinished jobs of these kinds that are older than grace and were not marked by MarkLate before.
func (s *MySQL) Late(ctx context.Context, kinds []string, grace time.Duration) ([]Late, error) {
	rows, err := s.DB.QueryContext(ctx, `SELECT id, kind, COALESCE(ref, ''), state, try_count, COALESCE(last_error, ''), TIMESTAMPDIFF(MICROSECOND, created_at, UTC_TIMESTAMP(6))
		FROM jdpay_job WHERE state IN ('ready', 'running', 'waiting') AND kind IN `+sqldb.In(len(kinds))+`
		AND outcome IS NULL AND created_at < DATE_SUB(UTC_TIMESTAMP(6), INTERVAL ? MICROSECOND) ORDER BY id LIMIT ?`,
		append(texts(kinds), grace.Microseconds(), maxLate)...)
	if err != nil {
		return nil, fmt.Errorf("looking for late jobs: %w", err)
	}
	defer rows.Close()
	var late []Late
	for rows.Next() {
		var l Late
		var age int64
		if err := rows.Scan(&l.ID, &l.Kind, &l.Ref, &l.State, &l.Tries, &l.Reason, &age); err != nil {
			return nil, fmt.Errorf("looking for late jobs: %w", err)
		}
		l.Age = time.Duration(age) * time.Microsecond
		late = append(late, l)
	}
	return late, rows.Err()
}

// MarkLate notes that a person has been told of these jobs. It comes after the telling: after a crash in between they are
// told twice, and never not at all.
func (s *MySQL) MarkLate(ctx context.Context, late []Late) error {
	if len(late) == 0 {
		return nil
	}
	args := []any{outcomeLate}
	for _, l := range late {
		args = append(args, l.ID)
	}
	_, err := sqldb.Exec(ctx, s.DB, "UPDATE jdpay_job SET outcome = ? WHERE outcome IS NULL AND finished_at IS NULL AND id IN "+sqldb.In(len(late)), args...)
	if err != nil {
		return fmt.Errorf("marking late jobs: %w", err)
	}
	return nil
}
