package auditlog

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"jdpay-listener/internal/lang"
)

const (
	pageSize    = 500 // rows of one query
	maxFindJobs = 100 // jobs in one query of Find
)

// Head is the newest row: its id, which is also the number of rows, and its hash. It is zero for an empty table.
type Head struct {
	ID   int64  `json:"id"`
	Hash string `json:"hash"`
}

// String is the text form of a head: ID:HASH.
func (h Head) String() string { return strconv.FormatInt(h.ID, 10) + ":" + h.Hash }

// ParseHead parses the text form ID:HASH.
func ParseHead(text string) (Head, error) {
	id, hash, ok := strings.Cut(strings.TrimSpace(text), ":")
	n, err := strconv.ParseInt(id, 10, 64)
	if !ok || err != nil || n < 1 || len(hash) != 64 {
		return Head{}, lang.Errorf("%q is not ID:HASH as audit prints it", text)
	}
	return Head{n, strings.ToLower(hash)}, nil
}

// Fault is a row that is not as it was written.
type Fault struct {
	ID      int64        `json:"id"`
	Problem lang.Message `json:"problem"`
}

// Check reads the whole chain and returns its head and its faults: changed rows and gaps. It finds that the newest rows
// were deleted, or that the whole chain was computed anew, only by a head that was noted before: noted, unless zero.
func Check(ctx context.Context, db *sql.DB, noted Head) (head Head, faults []Fault, err error) {
	report := func(id int64, problem lang.Message) { faults = append(faults, Fault{id, problem}) }
	for {
		rows, err := read(ctx, db, "id > ? ORDER BY id LIMIT ?", head.ID, pageSize)
		if err != nil {
			return head, faults, err
		}
		for _, r := range rows {
			switch missing := r.id - head.ID - 1; {
			case missing == 1:
				report(head.ID+1, lang.M("is missing: it was deleted"))
			case missing > 1:
				report(head.ID+1, lang.M("and those up to %d are missing: they were deleted", r.id-1))
			case r.prev != head.Hash:
				report(r.id, lang.M("does not carry the hash of the one before it: one of the two was changed"))
			}
			if r.sum() != r.hash {
				report(r.id, lang.M("was changed: it does not have its hash"))
			}
			if r.id == noted.ID && r.hash != noted.Hash {
				report(r.id, lang.M("has another hash than was noted: the acts up to it were written anew"))
			}
			head = Head{r.id, r.hash}
		}
		if len(rows) < pageSize {
			break
		}
	}
	if head.ID < noted.ID {
		report(head.ID+1, lang.M("and those up to %d, which was noted, are missing: they were deleted", noted.ID))
	}
	return head, faults, nil
}

// Newest returns the head of the chain.
func Newest(ctx context.Context, db *sql.DB) (h Head, err error) {
	rows, err := read(ctx, db, "1 = 1 ORDER BY id DESC LIMIT 1")
	if len(rows) > 0 {
		h = Head{rows[0].id, rows[0].hash}
	}
	return h, err
}

// After returns up to pageSize acts after the one with this id, the oldest first.
func After(ctx context.Context, db *sql.DB, id int64) ([]Entry, error) {
	rows, err := read(ctx, db, "id > ? ORDER BY id LIMIT ?", id, pageSize)
	return entries(rows), err
}

// Find returns the acts on an order or on any of the jobs, the oldest first. It reads the whole table; acts are rare.
func Find(ctx context.Context, db *sql.DB, orderNo string, jobs []int64) ([]Entry, error) {
	quoted, err := json.Marshal(orderNo)
	if err != nil {
		return nil, err
	}
	found := map[int64]row{}
	for first := true; first || len(jobs) > 0; first = false {
		n := min(len(jobs), maxFindJobs)
		// INSTR also finds rows with a longer number that contains this one; the loop below removes them.
		where, args := "INSTR(refs, ?) > 0", []any{string(quoted)}
		for _, id := range jobs[:n] {
			where += " OR INSTR(jobs, ?) > 0"
			args = append(args, strconv.FormatInt(id, 10))
		}
		rows, err := read(ctx, db, where, args...)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			e := r.entry()
			if slices.Contains(e.Refs, orderNo) || slices.ContainsFunc(e.Jobs, func(id int64) bool { return slices.Contains(jobs[:n], id) }) {
				found[r.id] = r
			}
		}
		jobs = jobs[n:]
	}
	list := make([]row, 0, len(found))
	for _, r := range found {
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b row) int { return int(a.id - b.id) })
	return entries(list), nil
}

func entries(rows []row) []Entry {
	list := make([]Entry, len(rows))
	for i, r := range rows {
		list[i] = r.entry()
	}
	return list
}

func read(ctx context.Context, db *sql.DB, where string, args ...any) (list []row, err error) {
	rows, err := db.QueryContext(ctx, "SELECT "+columns+" FROM jdpay_audit WHERE "+where, args...)
	if err != nil {
		return nil, fmt.Errorf("reading jdpay_audit: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		r, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("reading jdpay_audit: %w", err)
		}
		list = append(list, r)
	}
	return list, rows.Err()
}
