package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// serverTimeout is how long the server keeps a silent connection. A host that lost its power closes no sockets: its
	// open transactions, their row locks and its named locks end when the server closes its connections.
	serverTimeout = 15 * time.Second
	// idleTimeout closes pooled connections before the server does, so that no statement is sent on a closed one.
	idleTimeout = 10 * time.Second
	// lockTimeout bounds the wait for a row that another transaction has locked; the caller tries again. With the server's
	// default of 50 s one locked order would delay its whole batch.
	lockTimeout = 2 * time.Second
	// tableLockTimeout bounds the wait for a table whose definition another session changes. It ends before the client's
	// read timeout: a statement that the client has given up would wait on, and be executed later.
	tableLockTimeout = 20 * time.Second
	// patientTableTimeout is the same for a schema change. Everybody who uses the table later waits behind it, so it is short, and
	// the change is tried again.
	patientTableTimeout = 5 * time.Second
	// strictMode makes the server refuse a value that does not fit its column, instead of truncating it: a
	// truncated unique key would make two payments one.
	strictMode = "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION"
)

// setting is a variable of the session on which the daemon relies.
type setting struct {
	names []string // in different servers; the first one that the server has counts
	value string
	lack  lack
}

// lack says what it means that a server does not have a setting.
type lack int

const (
	refused   lack = iota // nothing is written through such a session
	harmless              // a server that does not know the variable does not do what its other values ask for
	safeguard             // something takes longer; also where the server does not let sessions set it
)

// settings are what a session must have. Each is set by every session, because a server's defaults, init_connect and the
// connection string may say otherwise, and read back.
var settings = []setting{
	// A statement outside of a transaction is committed when it succeeds. Otherwise messages are kept in a transaction that
	// nobody ends, read back on the same connection, deleted from the queue, and lost with the connection.
	{[]string{"autocommit"}, "1", refused},
	// COMMIT commits and does nothing else: with CHAIN it begins a transaction that nobody ends, with RELEASE it closes the
	// connection. Every MySQL since 5.0 has it.
	{[]string{"completion_type"}, "NO_CHAIN", harmless},
	// Each statement sees what is committed when it begins, such as the paid order after a wait for its lock.
	{[]string{"transaction_isolation", "tx_isolation"}, "READ-COMMITTED", refused},
	{[]string{"sql_mode"}, strictMode, refused},
	{[]string{"time_zone"}, "+00:00", refused},
	// A query returns all rows: with a limit, rows that were stored would not be read back, and orders would be unknown.
	{[]string{selectLimit}, noLimit, refused},
	{[]string{"sql_big_selects"}, "1", harmless},
	{[]string{"sql_safe_updates"}, "0", harmless},
	// WHERE … IS NULL means that, and not the row inserted last.
	{[]string{"sql_auto_is_null"}, "0", harmless},
	// InnoDB looks at every unique key: without it a redelivered message may be stored twice.
	{[]string{"unique_checks"}, "1", harmless},
	{[]string{"foreign_key_checks"}, "1", harmless},
	// No statement is ended in the middle. MariaDB has the first, MySQL since 5.7 the second.
	{[]string{"max_statement_time"}, "0", harmless},
	{[]string{"max_execution_time"}, "0", harmless},
	{[]string{"lock_wait_timeout"}, seconds(tableLockTimeout), safeguard},
	{[]string{"innodb_lock_wait_timeout"}, seconds(lockTimeout), safeguard},
	{[]string{"wait_timeout"}, seconds(serverTimeout), safeguard},
}

// noLimit is the value of selectLimit with which queries return all rows.
const selectLimit, noLimit = "sql_select_limit", "18446744073709551615"

// charsets are set by the driver with SET NAMES, and read back: the client fills arguments in for this character set.
var charsets = []string{"character_set_client", "character_set_connection", "character_set_results"}

func seconds(d time.Duration) string { return strconv.Itoa(int(d.Seconds())) }

// SessionError means that a session does not have what the daemon relies on, although it has set it. Nothing is read or
// written through such a session, so IsDown says that the database cannot be used.
type SessionError struct {
	Wrong []string // "variable is value and not value", or "variable is not known to the server"
	cause error    // the server's refusal to set one; nil if it said that it did
}

// Error says what is wrong and what to do about it, in few words: lines of errors are cut.
func (e *SessionError) Error() string {
	return "sessions are not as the daemon sets them (" + e.What() + "): check the proxy, or the server's limits (maximum-…)"
}

// What names the variables, or the server's refusal.
func (e *SessionError) What() string {
	if e.cause != nil {
		return e.cause.Error()
	}
	return strings.Join(e.Wrong, ", ")
}

// Unwrap returns the server's error, if it refused to set a variable.
func (e *SessionError) Unwrap() error { return e.cause }

// preparation is how the sessions of one server are set and read back, in one packet.
type preparation struct {
	version string   // of the server
	names   []string // of the variables in the order in which the query returns them
	wanted  []string
	set     string // the statements that set them
	read    string // the query that reads them back
}

// prepare sets what the daemon relies on, and reads it back. The first connection learns which variables the server has; the
// others need one round trip.
func (s *session) prepare(ctx context.Context) error {
	known := s.pool.preparation.Load()
	if known != nil {
		version, err := s.readBack(ctx, known, known.set+known.read)
		if err == nil && version == known.version || err != nil && !errors.As(err, new(*SessionError)) {
			return err
		}
		// It may be another server than before, which knows other variables.
	}
	known, err := s.learn(ctx)
	if err != nil {
		return err
	}
	if _, err := s.readBack(ctx, known, known.set+known.read); err != nil {
		return err
	}
	s.pool.preparation.Store(known)
	return nil
}

// learn asks which of the variables the server has.
func (s *session) learn(ctx context.Context) (*preparation, error) {
	var all []string
	for _, v := range settings {
		all = append(all, v.names...)
	}
	has, err := s.variables(ctx, append(all, "version"))
	if err != nil {
		return nil, fmt.Errorf("asking for the variables of a database session: %w", err)
	}
	p := &preparation{version: has["version"]}
	var sets, wrong []string
	for _, v := range settings {
		i := slices.IndexFunc(v.names, func(name string) bool { _, found := has[name]; return found })
		switch {
		case i >= 0:
		case v.lack == refused:
			wrong = append(wrong, v.names[0]+" is not known to the server")
			continue
		default:
			continue
		}
		if v.names[i] == "lock_wait_timeout" && s.pool.patient {
			v.value = seconds(patientTableTimeout)
		}
		set := "@@SESSION." + v.names[i] + " = " + literal(v.value)
		if v.lack == safeguard {
			if _, err := s.ExecContext(ctx, "SET "+set, nil); isServerError(err) && !IsDown(err) {
				continue
			} else if err != nil {
				return nil, fmt.Errorf("preparing a database session (SET %s): %w", set, err)
			}
		}
		sets, p.names, p.wanted = append(sets, set), append(p.names, v.names[i]), append(p.wanted, v.value)
	}
	if wrong != nil {
		return nil, &SessionError{Wrong: wrong}
	}
	for _, name := range charsets {
		p.names, p.wanted = append(p.names, name), append(p.wanted, "utf8mb4")
	}
	// ROLLBACK: init_connect may have begun a transaction.
	p.set = "SET " + strings.Join(sets, ", ") + "; ROLLBACK; "
	p.read = "SELECT @@version, @@SESSION.max_allowed_packet, @@SESSION." + strings.Join(p.names, ", @@SESSION.")
	return p, nil
}

// literal is a value as SET takes it.
func literal(value string) string {
	if _, err := strconv.ParseUint(value, 10, 64); err == nil {
		return value
	}
	return "'" + value + "'"
}

// readBack runs the query, which ends with p.read, and returns the server's version, or a *SessionError.
func (s *session) readBack(ctx context.Context, p *preparation, query string) (version string, err error) {
	rows, err := s.rows(ctx, query)
	switch {
	case err != nil && isServerError(err) && !IsDown(err):
		return "", &SessionError{cause: err}
	case err != nil:
		return "", fmt.Errorf("preparing a database session: %w", err)
	case len(rows) != 1 || len(rows[0]) != 2+len(p.names):
		return "", &SessionError{Wrong: []string{"they cannot be read back"}}
	}
	var wrong []string
	for i, got := range rows[0][2:] {
		if !sameValue(got, p.wanted[i]) {
			wrong = append(wrong, fmt.Sprintf("%s is %s and not %s", p.names[i], got, p.wanted[i]))
		}
	}
	if wrong != nil {
		return "", &SessionError{Wrong: wrong}
	}
	if bytes, err := strconv.Atoi(rows[0][1]); err == nil {
		s.maxPacket = bytes
	}
	return rows[0][0], nil
}

// sameValue compares a value as the server gives it with the wanted one: numbers by value, modes in any order.
func sameValue(got, want string) bool {
	if a, err := strconv.ParseFloat(got, 64); err == nil {
		b, err := strconv.ParseFloat(want, 64)
		return err == nil && a == b
	}
	a, b := strings.Split(strings.ToUpper(got), ","), strings.Split(strings.ToUpper(want), ",")
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// variables returns those of the session's variables that the server has, by name in lower case.
func (s *session) variables(ctx context.Context, names []string) (map[string]string, error) {
	// The limit would be one of these rows, too.
	rows, err := s.rows(ctx, "SET @@SESSION."+selectLimit+" = "+noLimit+"; SHOW SESSION VARIABLES WHERE Variable_name IN ('"+strings.Join(names, "', '")+"')")
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for _, row := range rows {
		found[strings.ToLower(row[0])] = row[1]
	}
	return found, nil
}

// rows returns all rows of a query as texts.
func (s *session) rows(ctx context.Context, query string) (texts [][]string, err error) {
	rows, err := s.QueryContext(ctx, query, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	values := make([]driver.Value, len(rows.Columns()))
	for {
		switch err := rows.Next(values); {
		case errors.Is(err, io.EOF):
			return texts, nil
		case err != nil:
			return nil, err
		}
		row := make([]string, len(values))
		for i, v := range values {
			if b, ok := v.([]byte); ok {
				row[i] = string(b)
			} else {
				row[i] = fmt.Sprint(v)
			}
		}
		texts = append(texts, row)
	}
}

// CheckSessions returns a *SessionError if sessions lose in later packets what they were given, as behind a proxy that
// lends one connection to several clients. While one is looked at, the others have a transaction open, so that such a proxy
// needs more than one connection.
func CheckSessions(ctx context.Context, db *sql.DB) error {
	conns := make([]*sql.Conn, min(3, db.Stats().MaxOpenConnections))
	for i := range conns {
		conn, err := db.Conn(ctx)
		if err != nil {
			return err
		}
		defer conn.Close()
		conns[i] = conn
	}
	for i, looked := range conns {
		all := func(statement string) error {
			for j, other := range conns {
				if j == i {
					continue
				}
				if _, err := other.ExecContext(ctx, statement); err != nil {
					return err
				}
			}
			return nil
		}
		if err := all("START TRANSACTION"); err != nil {
			return err
		}
		err := looked.Raw(func(c any) error {
			s, ok := c.(*session)
			if !ok {
				return errors.New("the connection is not one of Open")
			}
			p := s.pool.preparation.Load()
			_, err := s.readBack(ctx, p, p.read)
			return err
		})
		if err := errors.Join(err, all("ROLLBACK")); err != nil {
			return err
		}
	}
	return nil
}
