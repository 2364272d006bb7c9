package job

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"jdpay-listener/internal/sqldb"
)

// Conclude writes conclusions, all or none: those that say the same in one statement, several statements in one
// transaction.
func (s *MySQL) Conclude(ctx context.Context, conn sqldb.Conn, lease string, cs []Conclusion) (held int, err error) {
	statements := conclusionStatements(lease, cs)
	run := func(conn sqldb.Conn) error {
		held = 0
		for _, st := range statements {
			res, err := sqldb.Exec(ctx, conn, st.query, st.args...)
			if err != nil {
				return fmt.Errorf("concluding %d jobs: %w", len(cs), err)
			}
			n, err := res.RowsAffected()
			if err != nil {
				return err
			}
			held += int(n)
		}
		return nil
	}
	switch {
	case conn != nil:
		err = run(conn)
	case len(statements) == 1:
		err = run(s.DB)
	default:
		err = sqldb.InTx(ctx, s.DB, func(tx *sql.Tx) error { return run(tx) })
	}
	return held, err
}

type statement struct {
	query string
	args  []any
}

// conclusionStatements groups conclusions. Under load nearly all say "done, sent" or the like and share a statement;
// those with an error of their own take one each.
func conclusionStatements(lease string, cs []Conclusion) []statement {
	type alike struct {
		state   State
		outcome string
		wait    time.Duration
		free    bool
		refs    bool
		own     int64 // the id, for what shares with nobody
	}
	var order []alike
	groups := map[alike][]Conclusion{}
	for _, c := range cs {
		k := alike{state: c.State, outcome: c.Outcome, wait: c.Wait, free: c.Free, refs: c.Ref != ""}
		if c.Error != "" {
			k.own = c.ID
		}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], c)
	}
	statements := make([]statement, 0, len(order))
	for _, k := range order {
		statements = append(statements, conclusionStatement(lease, groups[k]))
	}
	return statements
}

// conclusionStatement writes conclusions that differ in nothing but the job and its ref.
func conclusionStatement(lease string, same []Conclusion) statement {
	c := same[0]
	var q strings.Builder
	q.WriteString("UPDATE jdpay_job SET lease = NULL, lease_until = NULL, state = ?")
	args := []any{c.State}
	if c.State.Finished() {
		q.WriteString(", outcome = ?, finished_at = " + dbNow)
		args = append(args, c.Outcome)
	} else {
		q.WriteString(", next_try_at = " + dbLater)
		args = append(args, c.Wait.Microseconds())
	}
	if c.Free {
		q.WriteString(", try_count = try_count - 1")
	}
	if c.Ref != "" {
		q.WriteString(", ref = CASE id")
		for _, c := range same {
			q.WriteString(" WHEN ? THEN ?")
			args = append(args, c.ID, c.Ref)
		}
		q.WriteString(" END")
	}
	if c.Error != "" {
		q.WriteString(", last_error = ?, errors = ?")
		args = append(args, c.Error, history(c.Errors))
	}
	q.WriteString(" WHERE lease = ? AND id IN " + sqldb.In(len(same)))
	args = append(args, lease)
	for _, c := range same {
		args = append(args, c.ID)
	}
	return statement{q.String(), args}
}
