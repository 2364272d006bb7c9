// Package mysqlserver is a stand-in for the company's MySQL: an in-process server with the MySQL protocol and all data in
// memory. It is for the sandbox and for testing the daemon's SQL with a second dialect, not for benchmarks.
package mysqlserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"

	sqle "github.com/dolthub/go-mysql-server"
	"github.com/dolthub/go-mysql-server/memory"
	"github.com/dolthub/go-mysql-server/server"
	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/mysql"
	"github.com/sirupsen/logrus"
)

// Server is a running stand-in. Its superuser is root without a password.
type Server struct {
	Addr   string // host:port
	server *server.Server
	done   chan error
}

// startMutex lets one server start at a time: the engine initialises its status variables, which are globals, without a lock.
var startMutex sync.Mutex

// Start runs a server with the named, empty databases on a free loopback port.
func Start(databases ...string) (*Server, error) {
	logrus.SetOutput(io.Discard) // the engine's own log; clients get the errors
	var dbs []sql.Database
	for _, name := range databases {
		db := memory.NewDatabase(name)
		db.EnablePrimaryKeyIndexes()
		dbs = append(dbs, db)
	}
	provider := memory.NewDBProvider(dbs...)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for MySQL clients: %w", err)
	}
	startMutex.Lock()
	defer startMutex.Unlock()
	cfg := server.Config{Protocol: "tcp", Address: l.Addr().String(), Listener: l}
	s, err := server.NewServerWithHandler(cfg, sqle.NewDefault(provider), sql.NewContext, memory.NewSessionBuilder(provider), nil,
		func(h mysql.Handler) (mysql.Handler, error) {
			return &oneAtATime{Handler: h, gate: make(chan struct{}, 1)}, nil
		})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting the in-process MySQL server: %w", err), l.Close())
	}
	out := &Server{Addr: l.Addr().String(), server: s, done: make(chan error, 1)}
	go func() { out.done <- s.Start() }()
	return out, nil
}

// DSN is the Go driver's address of one of its databases.
func (s *Server) DSN(database string) string {
	return fmt.Sprintf("root:@tcp(%s)/%s", s.Addr, database)
}

// Close stops the server.
func (s *Server) Close() error {
	err := s.server.Close()
	<-s.done
	return err
}

// noLimit makes of MySQL's greatest sql_select_limit, which means that there is none, the engine's own, and shows MySQL's: the
// engine takes greater ones for negative.
var noLimit = strings.NewReplacer("sql_select_limit = 18446744073709551615", "sql_select_limit = 2147483647", "@@SESSION.sql_select_limit,", "18446744073709551615,")

// oneAtATime serializes transactions. The in-memory engine writes a session's copy of a whole table back at commit, so that
// of two concurrent transactions the later one would undo the earlier.
type oneAtATime struct {
	mysql.Handler
	gate chan struct{} // has a token while a transaction or a single statement runs

	mu     sync.Mutex
	inside uint32 // the connection in a transaction; 0: none
}

// ComQuery runs one statement.
func (o *oneAtATime) ComQuery(ctx context.Context, c *mysql.Conn, query string, callback mysql.ResultSpoolFn) error {
	leave, err := o.enter(ctx, c, query)
	if err != nil {
		return err
	}
	defer leave()
	return o.Handler.ComQuery(ctx, c, noLimit.Replace(query), callback)
}

// ComMultiQuery runs the first of several statements.
func (o *oneAtATime) ComMultiQuery(ctx context.Context, c *mysql.Conn, query string, callback mysql.ResultSpoolFn) (string, error) {
	leave, err := o.enter(ctx, c, query)
	if err != nil {
		return "", err
	}
	defer leave()
	return o.Handler.ComMultiQuery(ctx, c, noLimit.Replace(query), callback)
}

// ComResetConnection ends the connection's transaction.
func (o *oneAtATime) ComResetConnection(c *mysql.Conn) error {
	defer o.abandon(c)
	return o.Handler.ComResetConnection(c)
}

// ConnectionClosed ends the connection's transaction.
func (o *oneAtATime) ConnectionClosed(c *mysql.Conn) {
	defer o.abandon(c)
	o.Handler.ConnectionClosed(c)
}

func (o *oneAtATime) enter(ctx context.Context, c *mysql.Conn, query string) (leave func(), err error) {
	verb, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(query))+" ", " ")
	begins := verb == "BEGIN" || verb == "START"
	ends := verb == "COMMIT" || verb == "ROLLBACK"
	o.mu.Lock()
	mine := o.inside == c.ConnectionID
	o.mu.Unlock()
	switch {
	case strings.Contains(query, "GET_LOCK("): // it may wait for a session that needs the gate
		return func() {}, nil
	case mine && ends:
		return func() { o.abandon(c) }, nil
	case mine:
		return func() {}, nil
	}
	select {
	case o.gate <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if begins {
		o.mu.Lock()
		o.inside = c.ConnectionID
		o.mu.Unlock()
		return func() {}, nil
	}
	return func() { <-o.gate }, nil
}

// abandon releases the gate if this connection's transaction occupies it.
func (o *oneAtATime) abandon(c *mysql.Conn) {
	o.mu.Lock()
	mine := o.inside == c.ConnectionID
	if mine {
		o.inside = 0
	}
	o.mu.Unlock()
	if mine {
		<-o.gate
	}
}
