package job

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"jdpay-listener/internal/sqldb"
)

// KindTrouble is the kind of the rows that remember the open troubles of which people are told: one row for each, which no
// runner works on. It is Waiting while the trouble is open; its try_count is how often people were told of it. Then it is Done and
// has lost its key.
const KindTrouble = "trouble"

// KindAlert is the kind of the jobs that tell people of troubles.
const KindAlert = "alert"

// TroubleOver is the outcome of a trouble.
const TroubleOver Outcome = "over"

// Change is what people are told of a trouble.
type Change string

// The changes, in the order of a trouble's life.
const (
	Began Change = "opened"
	Lasts Change = "still_open" // for TroubleReminder
	Ended Change = "over"
)

// TroubleKey begins the keys of troubles.
const TroubleKey = KindTrouble + ":"

// Trouble is something that people are told of when it begins, once more after an hour, and when it is over.
type Trouble struct {
	Key   string `json:"-"`                  // the trouble's name after TroubleKey: the same trouble is stored once
	Order string `json:"order_no,omitempty"` // if it concerns one order; not in column ref: it is no work of the order
	Cause string `json:"cause"`
	// JobID is the job whose state the trouble is; 0: whoever sees the trouble says so again and again, see Timeout.
	JobID int64 `json:"job_id,omitempty"`
	// Text says what is wrong, by language, if Order and Cause do not.
	Text map[string]string `json:"text,omitempty"`
	// Timeout is how long after NoteTroubles the trouble is over, unless it is noted again; 0: it does not end by time.
	Timeout time.Duration `json:"-"`
	// Event is a trouble without an end that anybody could be told of.
	Event bool `json:"event,omitempty"`
}

// OpenTrouble is a trouble as the table has it.
type OpenTrouble struct {
	Trouble
	ID      int64
	Told    int // how often people were told
	Since   time.Time
	Lasting bool // it has lasted for TroubleReminder
	Expired bool // its Timeout is over
	// Job is the state of the job of JobID, and JobOutcome its outcome; Job is empty if there is no such job any more.
	Job        State
	JobOutcome Outcome
}

// TroubleReminder is how long a trouble has lasted when people are reminded of it.
const TroubleReminder = time.Hour

// maxTroubles bounds the open troubles that are looked at: those that began first.
const maxTroubles = 5000

// UntoldParked returns parked jobs that are no open trouble yet, the oldest first. Those of KindAlert are left out: nobody can be told
// of them.
func (s *MySQL) UntoldParked(ctx context.Context) ([]Row, error) {
	rows, err := s.DB.QueryContext(ctx, `SELECT j.id, j.kind, COALESCE(j.ref, ''), COALESCE(j.outcome, ''), COALESCE(j.last_error, '')
		FROM jdpay_job j LEFT JOIN jdpay_job t ON t.unique_key = CONCAT('`+TroubleKey+ParkedTrouble+`', j.id)
		WHERE j.state = 'parked' AND j.kind <> '`+KindAlert+`' AND t.id IS NULL ORDER BY j.id LIMIT ?`, insertRows)
	if err != nil {
		return nil, fmt.Errorf("looking for parked jobs: %w", err)
	}
	defer rows.Close()
	var parked []Row
	for rows.Next() {
		r := Row{State: Parked}
		if err := rows.Scan(&r.ID, &r.Kind, &r.Ref, &r.Outcome, &r.LastError); err != nil {
			return nil, fmt.Errorf("looking for parked jobs: %w", err)
		}
		parked = append(parked, r)
	}
	return parked, rows.Err()
}

// ParkedTrouble and LateTrouble begin the names of troubles of one job, whose id follows.
const (
	ParkedTrouble = "parked:"
	LateTrouble   = "late:"
)

// NoteTroubles stores troubles, at most 500. Of one that is open already it prolongs the time only.
func (s *MySQL) NoteTroubles(ctx context.Context, troubles []Trouble) error {
	if len(troubles) == 0 {
		return nil
	}
	var q strings.Builder
	q.WriteString("INSERT INTO jdpay_job (kind, unique_key, args, state, priority, next_try_at, created_at, give_up_at) VALUES ")
	var args []any
	for i, t := range troubles {
		about, err := json.Marshal(t)
		if err != nil {
			return fmt.Errorf("storing a trouble: %w", err)
		}
		if i > 0 {
			q.WriteByte(',')
		}
		q.WriteString("(?, ?, ?, ?, ?, " + dbNow + ", " + dbNow + ", ")
		args = append(args, KindTrouble, fitKey(TroubleKey+t.Key), string(about), Waiting, Low)
		if t.Timeout > 0 {
			q.WriteString(dbLater + ")")
			args = append(args, t.Timeout.Microseconds())
		} else {
			q.WriteString("NULL)")
		}
	}
	q.WriteString(" ON DUPLICATE KEY UPDATE give_up_at = VALUES(give_up_at)")
	if _, err := sqldb.Exec(ctx, s.DB, q.String(), args...); err != nil {
		return fmt.Errorf("storing %d troubles: %w", len(troubles), err)
	}
	return nil
}

// Troubles returns the open troubles, those that began first.
func (s *MySQL) Troubles(ctx context.Context) ([]OpenTrouble, error) {
	rows, err := s.DB.QueryContext(ctx, `SELECT id, COALESCE(unique_key, ''), args, try_count, created_at,
		created_at <= DATE_SUB(UTC_TIMESTAMP(6), INTERVAL ? MICROSECOND), COALESCE(give_up_at < UTC_TIMESTAMP(6), 0)
		FROM jdpay_job WHERE state IN ('waiting', 'ready') AND kind = '`+KindTrouble+`' ORDER BY id LIMIT ?`, TroubleReminder.Microseconds(), maxTroubles)
	if err != nil {
		return nil, fmt.Errorf("reading the open troubles: %w", err)
	}
	defer rows.Close()
	var open []OpenTrouble
	for rows.Next() {
		var t OpenTrouble
		var about []byte
		if err := rows.Scan(&t.ID, &t.Key, &about, &t.Told, &t.Since, &t.Lasting, &t.Expired); err != nil {
			return nil, fmt.Errorf("reading the open troubles: %w", err)
		}
		t.Key = strings.TrimPrefix(t.Key, TroubleKey)
		if json.Unmarshal(about, &t.Trouble) != nil {
			t.Cause = "unknown" // somebody edited it
		}
		open = append(open, t)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading the open troubles: %w", err)
	}
	return open, s.addJobs(ctx, open)
}

// addJobs adds the states of the troubles' jobs.
func (s *MySQL) addJobs(ctx context.Context, open []OpenTrouble) error {
	of := map[int64][]*OpenTrouble{}
	var ids []any
	for i := range open {
		if id := open[i].JobID; id != 0 {
			if of[id] == nil {
				ids = append(ids, id)
			}
			of[id] = append(of[id], &open[i])
		}
	}
	for ; len(ids) > 0; ids = ids[min(len(ids), insertRows):] {
		part := ids[:min(len(ids), insertRows)]
		rows, err := s.DB.QueryContext(ctx, "SELECT id, state, COALESCE(outcome, '') FROM jdpay_job WHERE id IN "+sqldb.In(len(part)), part...)
		if err != nil {
			return fmt.Errorf("reading the jobs of the open troubles: %w", err)
		}
		for rows.Next() {
			var id int64
			var state State
			var outcome Outcome
			if err = rows.Scan(&id, &state, &outcome); err != nil {
				break
			}
			for _, t := range of[id] {
				t.Job, t.JobOutcome = state, outcome
			}
		}
		if err := errors.Join(err, rows.Err(), rows.Close()); err != nil {
			return fmt.Errorf("reading the jobs of the open troubles: %w", err)
		}
	}
	return nil
}

// ErrToldAlready means that another instance has told people of a trouble meanwhile.
var ErrToldAlready = errors.New("another instance has told people of it")

// TellTroubles notes, in the caller's transaction, that people are told of a change of these troubles: that they began, last, or are
// over. It returns ErrToldAlready, upon which the transaction must be rolled back, if that was noted of one of them before.
func (s *MySQL) TellTroubles(ctx context.Context, tx *sql.Tx, ids []int64, change Change) error {
	statement := map[Change]string{
		Began: "try_count = 1 WHERE try_count = 0",
		Lasts: "try_count = 2 WHERE try_count = 1",
		Ended: "state = 'done', outcome = '" + string(TroubleOver) + "', finished_at = " + dbNow + ", unique_key = NULL WHERE 1 = 1",
	}[change]
	res, err := tx.ExecContext(ctx, "UPDATE jdpay_job SET "+statement+" AND state IN ('waiting', 'ready') AND id IN "+sqldb.In(len(ids)), anys(ids)...)
	if err != nil {
		return fmt.Errorf("noting what people are told: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n != int64(len(ids)) {
		return errors.Join(ErrToldAlready, err)
	}
	return nil
}

// RecentAlerts returns the keys of the alerts that were created within the last d.
func (s *MySQL) RecentAlerts(ctx context.Context, d time.Duration) (keys []string, err error) {
	rows, err := s.DB.QueryContext(ctx, "SELECT unique_key FROM jdpay_job WHERE unique_key LIKE '"+KindAlert+":%' AND created_at > DATE_SUB(UTC_TIMESTAMP(6), INTERVAL ? MICROSECOND)", d.Microseconds())
	if err != nil {
		return nil, fmt.Errorf("reading the last alerts: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var key string
		if err := rows.Scan(&key); err != nil {
			return nil, fmt.Errorf("reading the last alerts: %w", err)
		}
		keys = append(keys, key)
	}
	return keys, rows.Err()
}
