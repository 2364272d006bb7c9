package job

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"jdpay-listener/internal/sqldb"
)

// Late is an unfinished job that should be done by now.
type Late struct {
	ID     int64         `json:"job_id"`
	Kind   string        `json:"kind"`
	Ref    string        `json:"-"`
	State  State         `json:"state"`
	Tries  int           `json:"try_count"`
	Reason string        `json:"-"` // its last error; empty if there was none
	Age    time.Duration `json:"-"`
}

// KindLate is the kind of the rows that remember of which late jobs a person has been told. Their keys name the jobs, and
// they are done from birth.
const KindLate = "late"

// Told is the outcome of the rows of KindLate.
const Told Outcome = "told"

// KeepTold is the handler of KindLate: a row that an operator replays stays what it is.
func KeepTold(context.Context, *Job, Raw) (Outcome, error) { return Told, nil }

// maxLate bounds how many late jobs one look returns: during an outage there are many.
const maxLate = insertRows

// Late returns the unfinished jobs of these kinds that are older than grace and of which MarkLate was not told before.
func (s *MySQL) Late(ctx context.Context, kinds []string, grace time.Duration) ([]Late, error) {
	// A job with an outcome is being replayed, or an instance of a version before KindLate has told of it.
	rows, err := s.DB.QueryContext(ctx, `SELECT j.id, j.kind, COALESCE(j.ref, ''), j.state, j.try_count, COALESCE(j.last_error, ''), TIMESTAMPDIFF(MICROSECOND, j.created_at, UTC_TIMESTAMP(6))
		FROM jdpay_job j LEFT JOIN jdpay_job told ON told.unique_key = CONCAT('`+KindLate+`:', j.id)
		WHERE j.state IN ('ready', 'running', 'waiting') AND j.kind IN `+sqldb.In(len(kinds))+` AND j.outcome IS NULL
		AND j.created_at < DATE_SUB(UTC_TIMESTAMP(6), INTERVAL ? MICROSECOND) AND told.id IS NULL ORDER BY j.id LIMIT ?`,
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

// MarkLate remembers that a person has been told of these jobs, until Purge. It comes after the telling: after a crash in
// between they are told twice, and never not at all.
func (s *MySQL) MarkLate(ctx context.Context, late []Late) error {
	if len(late) == 0 {
		return nil
	}
	var args []any
	for _, l := range late {
		about, err := json.Marshal(l)
		if err != nil {
			return fmt.Errorf("marking late jobs: %w", err)
		}
		args = append(args, KindLate, lateKey(l.ID), null(l.Ref), string(about), Done, Told, Low)
	}
	_, err := sqldb.Exec(ctx, s.DB, sqldb.Rows("INSERT INTO jdpay_job (kind, unique_key, ref, args, state, outcome, priority, next_try_at, created_at, finished_at) VALUES ",
		"(?, ?, ?, ?, ?, ?, ?, "+dbNow+", "+dbNow+", "+dbNow+")", " ON DUPLICATE KEY UPDATE id = id", len(late)), args...)
	if err != nil {
		return fmt.Errorf("marking late jobs: %w", err)
	}
	return nil
}

// forgetTold makes jobs that an operator has changed as late as any other: should they be late again, a person is told. The
// rows stay, without their keys: an operator may not delete.
func forgetTold(ctx context.Context, tx *sql.Tx, ids []int64) error {
	keys := make([]any, len(ids))
	for i, id := range ids {
		keys[i] = lateKey(id)
	}
	if _, err := tx.ExecContext(ctx, "UPDATE jdpay_job SET unique_key = NULL WHERE unique_key IN "+sqldb.In(len(keys)), keys...); err != nil {
		return fmt.Errorf("forgetting that late jobs were reported: %w", err)
	}
	return nil
}

func lateKey(id int64) string { return KindLate + ":" + strconv.FormatInt(id, 10) }
