package job

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"jdpay-listener/internal/sqldb"
)

// Finish writes results, all or none: those that differ only in the job, its ref, its wait and its error in one
// statement, several statements in one transaction.
func (s *MySQL) Finish(ctx context.Context, tx *sql.Tx, lease string, cs []Result) (written int, err error) {
	statements := finishStatements(lease, cs)
	run := func(tx *sql.Tx) error {
		written = 0
		for _, st := range statements {
			res, err := s.exec(ctx, tx, st.query, st.args...)
			if err != nil {
				return fmt.Errorf("concluding %d jobs: %w", len(cs), err)
			}
			n, err := res.RowsAffected()
			if err != nil {
				return err
			}
			written += int(n)
		}
		return nil
	}
	if tx == nil && len(statements) > 1 {
		err = sqldb.InTx(ctx, s.DB, run)
	} else {
		err = run(tx)
	}
	return written, err
}

type statement struct {
	query string
	args  []any
}

// maxStatementErrors is how many results with errors share a statement: the server looks each job's texts up in a list,
// one after the other.
const maxStatementErrors = 100

// finishStatements groups results. Under load nearly all say "done, sent" or the like and share a statement;
// those with errors share one as well, so that an outage of JD costs few round trips.
func finishStatements(lease string, cs []Result) []statement {
	type alike struct {
		state   State
		outcome Outcome
		free    bool
		refs    bool
		history bool
		text    bool
	}
	var order []alike
	groups := map[alike][]Result{}
	for _, c := range cs {
		k := alike{c.State, c.Outcome, c.Free, c.Ref != "", c.Errors != nil, c.Error != ""}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], c)
	}
	statements := make([]statement, 0, len(order))
	for _, k := range order {
		group := groups[k]
		for k.history && len(group) > maxStatementErrors {
			statements = append(statements, finishStatement(lease, group[:maxStatementErrors]))
			group = group[maxStatementErrors:]
		}
		statements = append(statements, finishStatement(lease, group))
	}
	return statements
}

// finishStatement writes results that differ in nothing but the job, its ref, its wait and its error.
func finishStatement(lease string, same []Result) statement {
	c := same[0]
	var q strings.Builder
	var args []any
	each := func(value func(c *Result) any) {
		q.WriteString("CASE id")
		for i := range same {
			q.WriteString(" WHEN ? THEN ?")
			args = append(args, same[i].ID, value(&same[i]))
		}
		q.WriteString(" END")
	}
	q.WriteString("UPDATE jdpay_job SET lease = NULL, lease_until = NULL, ")
	if c.State.Finished() {
		q.WriteString(finishing)
		args = append(args, c.State, c.Outcome)
		if c.State == Rejected { // RejectedIn finds it by the time of its end, however long it waited for its try
			q.WriteString(", next_try_at = UTC_TIMESTAMP(6)")
		}
	} else {
		q.WriteString("state = ?, next_try_at = DATE_ADD(UTC_TIMESTAMP(6), INTERVAL ")
		args = append(args, c.State)
		if sameWait(same) {
			q.WriteString("?")
			args = append(args, c.Wait.Microseconds())
		} else {
			each(func(c *Result) any { return c.Wait.Microseconds() })
		}
		q.WriteString(" MICROSECOND)")
	}
	if c.Free {
		q.WriteString(", try_count = try_count - 1")
	}
	if c.Ref != "" {
		q.WriteString(", ref = ")
		each(func(c *Result) any { return c.Ref })
	}
	if c.Error != "" {
		q.WriteString(", last_error = ")
		each(func(c *Result) any { return c.Error })
	}
	if c.Errors != nil {
		q.WriteString(", errors = ")
		each(func(c *Result) any { return encodeHistory(c.Errors) })
	}
	// R-FENCE: a conclusion names the lease; who has lost it changes nothing.
	q.WriteString(" WHERE lease = ? AND id IN " + sqldb.In(len(same)))
	args = append(args, lease)
	for i := range same {
		args = append(args, same[i].ID)
	}
	return statement{q.String(), args}
}

// finishing sets the columns of a job that ends, with the arguments state and outcome. A job that was finished before
// and is being replayed keeps its first result: what was settled once stays "settled", whatever a replay says. The
// time comes last, because the server uses new values for what follows.
const finishing = "state = IF(finished_at IS NULL, ?, 'done'), outcome = IF(finished_at IS NULL, ?, outcome), finished_at = COALESCE(finished_at, UTC_TIMESTAMP(6))"

func sameWait(same []Result) bool {
	for i := range same {
		if same[i].Wait.Truncate(time.Microsecond) != same[0].Wait.Truncate(time.Microsecond) {
			return false
		}
	}
	return true
}
