package testenv

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// Redis is a private redis-server without persistence.
type Redis struct {
	Host string
	Port int
	dir  string
	argv []string
	proc process
}

// RedisServer starts a server for the test, which stops with it. Extra arguments go to redis-server.
func RedisServer(tb testing.TB, args ...string) *Redis {
	tb.Helper()
	binary(tb, "redis-server")
	r, err := StartRedis(args...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(r.Close)
	return r
}

// StartRedis is RedisServer for callers without a test.
func StartRedis(args ...string) (*Redis, error) {
	server, err := Binary("redis-server")
	if err != nil {
		return nil, err
	}
	dir, err := tempDir("redis")
	if err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	r := &Redis{Host: "127.0.0.1", Port: port, dir: dir, argv: append([]string{
		server, "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", dir, "--save", "", "--appendonly", "no", "--daemonize", "no",
	}, args...)}
	if err := r.start(); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func (r *Redis) start() error {
	if err := r.proc.start(r.dir, filepath.Join(r.dir, "log"), r.argv...); err != nil {
		return err
	}
	return waitTCP(context.Background(), r.Addr(), &r.proc)
}

// Addr is host:port.
func (r *Redis) Addr() string { return net.JoinHostPort(r.Host, strconv.Itoa(r.Port)) }

// Stop kills the server; Start starts it, empty, on the same port.
func (r *Redis) Stop() { r.proc.stop(true) }

// Start starts a stopped server.
func (r *Redis) Start(tb testing.TB) {
	tb.Helper()
	if err := r.start(); err != nil {
		tb.Fatal(err)
	}
}

// Close stops the server and removes its folder.
func (r *Redis) Close() {
	r.proc.stop(false)
	os.RemoveAll(r.dir)
}
