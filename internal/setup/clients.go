package setup

import (
	"crypto/tls"
	"database/sql"
	"log/slog"
	"time"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/elastic"
	"jdpay-listener/internal/mns"
	"jdpay-listener/internal/redisstore"
	"jdpay-listener/internal/sqldb"
)

// OpenDatabase opens a database by its connection string, without connecting yet.
func OpenDatabase(connection config.Secret) (*sql.DB, error) {
	parsed, _, err := sqldb.ParseConnectionString(connection.Reveal())
	if err != nil {
		return nil, err
	}
	return sqldb.Open(parsed.Config, parsed.MaxPoolSize)
}

// OpenForSchema opens a database for schema changes, without connecting yet.
func OpenForSchema(connection config.Secret) (*sql.DB, error) {
	parsed, _, err := sqldb.ParseConnectionString(connection.Reveal())
	if err != nil {
		return nil, err
	}
	return sqldb.OpenForSchema(parsed.Config)
}

// MNSClient returns the client of the configured MNS account. onRequest, which may be nil, is told of each request.
func MNSClient(c *config.Config, onRequest func(queue, op, result string, took time.Duration)) (*mns.Client, error) {
	o := mnsConfig(c)
	o.OnRequest = onRequest
	return mns.NewClient(o)
}

// Queue returns an MNS queue of the configured account.
func Queue(c *config.Config, name string) (*mns.Queue, error) {
	client, err := MNSClient(c, nil)
	if err != nil {
		return nil, err
	}
	return client.Queue(name)
}

// UsesRedis reports whether the configuration has a Redis server.
func UsesRedis(c *config.Config) bool {
	_, _, on, _ := redisOptions(c)
	return on
}

// Redis returns a client of Redis, which connects lazily, or nil when Redis is off. An unreachable Redis is no error here, an
// unreadable CA file is. onTLS, which may be nil, is called for each encrypted connection.
func Redis(c *config.Config, onTLS func(tls.ConnectionState), log *slog.Logger) (*redisstore.Store, error) {
	o, _, on, err := redisOptions(c)
	if !on || err != nil {
		return nil, err
	}
	o.OnTLS, o.Log = onTLS, log
	return redisstore.New(o)
}

// Elastic returns a client of Elasticsearch, which connects at its first use. Its error is that of the options' check.
func Elastic(c *config.Config) (*elastic.Client, error) { return elastic.New(elasticOptions(c)) }
