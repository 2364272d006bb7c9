package sqldb

import (
	"context"
	"database/sql/driver"
)

// driverConn is what the driver's connections can do.
type driverConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
	driver.NamedValueChecker
}

// session is a connection that leaves the pool when its server takes no writes. After a switch-over the old primary still
// answers on the connections that were opened before, and still lets them read; only a new connection finds the new one.
//
// The first connection that gets such an error expires all connections of its generation. Those in use are closed at their
// next statement, because what they would read is out of date.
type session struct {
	driverConn
	pool       *connector
	generation int64
	// endFailed: a COMMIT or ROLLBACK failed. The server may have left the transaction open, with its locks; the next
	// statements on this connection would belong to it, and the next START TRANSACTION would commit it.
	endFailed bool
	// maxPacket is the server's max_allowed_packet, in bytes.
	maxPacket int
}

// Close implements driver.Conn. It returns no error: the driver has one only when the server can no longer be
// reached, and closes the connection all the same.
func (s *session) Close() error {
	_ = s.driverConn.Close()
	return nil
}

func (s *session) stale() bool { return s.generation != s.pool.generation.Load() }

// checkWritable expires the connection's generation if err says that the server takes no writes. It returns err.
func (s *session) checkWritable(err error) error {
	if isUnwritable(err) {
		s.pool.generation.CompareAndSwap(s.generation, s.generation+1)
	}
	return err
}

// ExecContext implements driver.ExecerContext.
func (s *session) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if s.stale() {
		return nil, driver.ErrBadConn
	}
	if err := s.fits(query, args); err != nil {
		return nil, err
	}
	res, err := s.driverConn.ExecContext(ctx, query, args)
	return res, s.checkWritable(err)
}

// QueryContext implements driver.QueryerContext.
func (s *session) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if s.stale() {
		return nil, driver.ErrBadConn
	}
	if err := s.fits(query, args); err != nil {
		return nil, err
	}
	rows, err := s.driverConn.QueryContext(ctx, query, args)
	return rows, s.checkWritable(err)
}

// BeginTx implements driver.ConnBeginTx.
func (s *session) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if s.stale() {
		return nil, driver.ErrBadConn
	}
	tx, err := s.driverConn.BeginTx(ctx, opts)
	if err != nil {
		return nil, s.checkWritable(err)
	}
	return &transaction{tx, s}, nil
}

// ResetSession implements driver.SessionResetter: the pool asks it before a connection is used again.
func (s *session) ResetSession(ctx context.Context) error {
	if s.stale() {
		return driver.ErrBadConn
	}
	return s.driverConn.ResetSession(ctx)
}

// IsValid implements driver.Validator: the pool asks it before it takes a connection back.
func (s *session) IsValid() bool { return !s.stale() && !s.endFailed && s.driverConn.IsValid() }

// transaction is a transaction on a session.
type transaction struct {
	driver.Tx
	s *session
}

// Commit implements driver.Tx. A stale session's transaction is not committed: what it read may be out of date.
func (t *transaction) Commit() error {
	if t.s.stale() {
		return driver.ErrBadConn
	}
	return t.ended(t.Tx.Commit())
}

// Rollback implements driver.Tx.
func (t *transaction) Rollback() error { return t.ended(t.Tx.Rollback()) }

// ended takes the error of a commit or a rollback and returns it. After an error the connection is closed, so that the
// server rolls the transaction back.
func (t *transaction) ended(err error) error {
	t.s.endFailed = err != nil
	return t.s.checkWritable(err)
}
