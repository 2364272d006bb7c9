package auditlog

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// columns are all columns, in the order of scan.
const (
	columns     = "id, at, who, from_host, act, refs, jobs, detail, before_act, after_act, reason, prev_hash, hash"
	columnCount = 13
)

// row is a row with its texts as stored; the hash is computed over them.
type row struct {
	id                    int64
	at                    time.Time
	who, from, act        string
	refs, jobs            string // JSON lists
	detail, before, after string // JSON
	reason, prev, hash    string
}

func scan(rows *sql.Rows) (r row, err error) {
	err = rows.Scan(&r.id, &r.at, &r.who, &r.from, &r.act, &r.refs, &r.jobs, &r.detail, &r.before, &r.after, &r.reason, &r.prev, &r.hash)
	return r, err
}

// sum is the hash that the row must have: SHA-256, in hex, over the previous row's hash and all other columns in their
// order, each as its length in bytes, a colon, its bytes and a comma. The time is formatted as 2006-01-02
// 15:04:05.000000.
func (r row) sum() string {
	h := sha256.New()
	for _, text := range []string{
		r.prev, strconv.FormatInt(r.id, 10), r.at.UTC().Format("2006-01-02 15:04:05.000000"), r.who, r.from, r.act,
		r.refs, r.jobs, r.detail, r.before, r.after, r.reason,
	} {
		fmt.Fprintf(h, "%d:%s,", len(text), text)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// entry decodes the row. A list that somebody has changed to other JSON is empty; Check reports the row.
func (r row) entry() Entry {
	e := Entry{
		ID: r.id, At: r.at.UTC(), Who: r.who, From: r.from, Act: r.act, Refs: []string{}, Jobs: []int64{},
		Detail: raw(r.detail), Before: raw(r.before), After: raw(r.after), Reason: r.reason, Prev: r.prev, Hash: r.hash,
	}
	if json.Unmarshal([]byte(r.refs), &e.Refs) != nil {
		e.Refs = []string{}
	}
	if json.Unmarshal([]byte(r.jobs), &e.Jobs) != nil {
		e.Jobs = []int64{}
	}
	return e
}

// raw is a stored JSON text; one that somebody has changed to invalid JSON becomes a JSON string.
func raw(text string) json.RawMessage {
	if json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	b, err := json.Marshal(text)
	if err != nil { // strings always encode
		panic(err)
	}
	return b
}
