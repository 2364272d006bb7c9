// Package auditlog records the acts of operators: each act is a row of table jdpay_audit in the account database, written
// in the same transaction as its effect. Each row contains the hash of the row before it, so that Check finds changed and
// deleted rows.
//
// The migrations of package job create the table. Writing needs only the rights SELECT and INSERT.
package auditlog

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
	"unicode/utf8"

	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/sqldb"
)

// Operator is who acts, from where and why. The operator chooses these texts; they prove nothing: see docs/security.md.
type Operator struct {
	Name   string
	From   string // host, process, terminal and network address, if known
	Reason string // may be empty
}

// Change is the effect of an act, or a part of it: an act on many jobs is written as several rows.
type Change struct {
	Act    string   // retry, replay, discard, send, …
	Refs   []string // orders
	Jobs   []int64  // job ids
	Detail any      // the parameters of the act
	Before any      // nil: nothing existed before
	After  any
}

// Entry is a row of the table.
type Entry struct {
	ID     int64           `json:"id"`
	At     time.Time       `json:"at"`
	Who    string          `json:"who"`
	From   string          `json:"from"`
	Act    string          `json:"act"`
	Refs   []string        `json:"orders"`
	Jobs   []int64         `json:"job_ids"`
	Detail json.RawMessage `json:"detail"`
	Before json.RawMessage `json:"before"`
	After  json.RawMessage `json:"after"`
	Reason string          `json:"reason"`
	Prev   string          `json:"previous_hash"`
	Hash   string          `json:"hash"`
}

// In characters.
const (
	maxName   = 128
	maxFrom   = 255
	maxReason = 2000
)

// Validate returns an error if the name is missing or a text is too long or not UTF-8.
func (o Operator) Validate() error {
	switch {
	case strings.TrimSpace(o.Name) == "":
		return lang.Errorf("the act has no operator: give --as NAME or set JDPAY_OPERATOR")
	case utf8.RuneCountInString(o.Name) > maxName:
		return lang.Errorf("the operator's name is longer than %d characters", maxName)
	case utf8.RuneCountInString(o.Reason) > maxReason:
		return lang.Errorf("the reason is longer than %d characters", maxReason)
	case !utf8.ValidString(o.Name), !utf8.ValidString(o.Reason):
		return lang.Errorf("the operator's name and the reason must be UTF-8")
	}
	return nil
}

// maxTries limits the tries of an act while other operators act concurrently: in each round one of them succeeds.
const maxTries = 40

// errConflict means that a concurrent act has inserted the row with the same id.
var errConflict = lang.Errorf("another act was written at the same moment: try again")

// Do executes an act and records it, in one transaction: effect makes the changes in tx and returns them. If it returns
// none, no row is written. After a conflict with another act or a deadlock Do calls effect again, in a new transaction.
//
// Do takes no lock: only one row with the next id can be inserted, and the act whose insert fails is repeated. This also
// works in a cluster with several primaries, and if the operator's database user may only insert.
func Do(ctx context.Context, db *sql.DB, by Operator, effect func(tx *sql.Tx) ([]Change, error)) ([]Entry, error) {
	if err := by.Validate(); err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		var entries []Entry
		err := sqldb.InTx(ctx, db, func(tx *sql.Tx) error {
			changes, err := effect(tx)
			if err != nil || len(changes) == 0 {
				entries = nil
				return err
			}
			entries, err = write(ctx, tx, by, changes)
			return err
		})
		if err == nil {
			return entries, nil
		}
		if try == maxTries || !errors.Is(err, errConflict) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(err, ctx.Err())
		case <-time.After(time.Duration(rand.Int64N(int64(10 * time.Millisecond)))):
		}
	}
}

func write(ctx context.Context, tx *sql.Tx, by Operator, changes []Change) ([]Entry, error) {
	r := row{who: by.Name, from: truncate(strings.ToValidUTF8(by.From, "?"), maxFrom), reason: by.Reason}
	err := tx.QueryRowContext(ctx, "SELECT id, hash FROM jdpay_audit ORDER BY id DESC LIMIT 1").Scan(&r.id, &r.hash)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("reading the newest row of jdpay_audit: %w", err)
	}
	if err := tx.QueryRowContext(ctx, "SELECT UTC_TIMESTAMP(6)").Scan(&r.at); err != nil {
		return nil, fmt.Errorf("reading the database's clock: %w", err)
	}
	entries := make([]Entry, 0, len(changes))
	for _, c := range changes {
		r.id++
		r.prev, r.act = r.hash, c.Act
		for text, v := range map[*string]any{&r.refs: nonNil(c.Refs), &r.jobs: nonNil(c.Jobs), &r.detail: c.Detail, &r.before: c.Before, &r.after: c.After} {
			b, err := json.Marshal(v)
			if err != nil {
				return nil, fmt.Errorf("encoding the act %s: %w", c.Act, err)
			}
			*text = string(b)
		}
		r.hash = r.sum()
		_, err := tx.ExecContext(ctx, "INSERT INTO jdpay_audit ("+columns+") VALUES "+sqldb.In(columnCount),
			r.id, r.at, r.who, r.from, r.act, r.refs, r.jobs, r.detail, r.before, r.after, r.reason, r.prev, r.hash)
		switch {
		case sqldb.IsDuplicate(err):
			return nil, fmt.Errorf("%w (row %d of jdpay_audit: %w)", errConflict, r.id, err)
		case err != nil:
			return nil, fmt.Errorf("writing the act into jdpay_audit: %w", err)
		}
		entries = append(entries, r.entry())
	}
	return entries, nil
}

// nonNil returns a list that encodes as [] and not as null.
func nonNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func truncate(s string, maxRunes int) string {
	if r := []rune(s); len(r) > maxRunes {
		return string(r[:maxRunes])
	}
	return s
}
