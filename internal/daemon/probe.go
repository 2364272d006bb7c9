package daemon

import (
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/device"
	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/mns"
)

// Finding is the result of one check of the daemon's surroundings.
type Finding struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Warning bool   `json:"warning"` // it works but should be changed
	Detail  string `json:"detail"`
	Remedy  string `json:"remedy,omitempty"` // what to change
	// Transport is how the connection is secured; nil: the finding is about something else.
	Transport *Link `json:"transport,omitempty"`
}

const probeTimeout = 10 * time.Second

// probe checks one dependency. run returns a description, or the error that becomes the finding.
type probe struct {
	name   string
	remedy string
	run    func(ctx context.Context) (string, error)
}

// Connect checks every dependency that the configuration names, how its connection is secured, and the columns of the
// business tables. It changes nothing.
func Connect(ctx context.Context, c *config.Config) []Finding {
	return append(runProbes(ctx, connectProbes(c)), transports(ctx, c)...)
}

func runProbes(ctx context.Context, probes []probe) []Finding {
	findings := make([]Finding, len(probes))
	var wg sync.WaitGroup
	for i, p := range probes {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, probeTimeout)
			defer cancel()
			detail, err := p.run(ctx)
			findings[i] = Finding{Name: p.name, OK: err == nil, Detail: detail}
			var better advice
			var missing *inspect.MissingError
			switch {
			case errors.As(err, &missing):
				findings[i].Detail, findings[i].Remedy = missing.Error(), missing.Remedy()
			case errors.As(err, &better):
				findings[i] = Finding{Name: p.name, OK: true, Warning: true, Detail: better.detail, Remedy: better.remedy}
			case err != nil:
				findings[i].Detail, findings[i].Remedy = strings.ReplaceAll(err.Error(), "\n", "; "), p.remedy
			}
		})
	}
	wg.Wait()
	return findings
}

func connectProbes(c *config.Config) []probe {
	probes := []probe{
		{"account database", "check ConnectionStrings:Account and that the server is up", func(ctx context.Context) (string, error) {
			return withDatabase(ctx, c.ConnectionStrings.Account, func(db *sql.DB) (string, error) { return serverVersion(ctx, db) })
		}},
		{"table jdpay_job", "run jdpay-listener migrate", func(ctx context.Context) (string, error) {
			return withDatabase(ctx, c.ConnectionStrings.Account, func(db *sql.DB) (string, error) { return "up to date", job.CheckVersion(ctx, db) })
		}},
		{"account tables", "check the connection and the user's rights", func(ctx context.Context) (string, error) {
			return columns(ctx, c.ConnectionStrings.Account, inspect.AccountTables)
		}},
		{"main database", "check ConnectionStrings:Main and that the server is up", func(ctx context.Context) (string, error) {
			return withDatabase(ctx, c.ConnectionStrings.Main, func(db *sql.DB) (string, error) { return serverVersion(ctx, db) })
		}},
		{"main tables", "check the connection and the user's rights", func(ctx context.Context) (string, error) {
			return columns(ctx, c.ConnectionStrings.Main, inspect.MainTables)
		}},
		{"mqtt broker", "check section Mqtt and that the broker is up", func(ctx context.Context) (string, error) {
			return withSession(ctx, c, "check", func(*device.Session) (string, error) { return "connected", nil })
		}},
		{"jd api", "check JDApi:BaseUrl, JDApi:CaFile and the network", func(ctx context.Context) (string, error) {
			reachable, err := dialURL(ctx, c.JDApi.BaseUrl)
			if err == nil {
				err = handshake(ctx, c.JDApi.BaseUrl, c.JDApi.CaFile, func(*tls.ConnectionState) {})
			}
			if errors.Is(err, errNotInspected) {
				err = nil
			}
			return reachable, err
		}},
	}
	for _, queue := range []string{c.JDPay.NotifyQueueName, c.SyncReply.QueueName} {
		if queue != "" {
			probes = append(probes, probe{"mns queue " + queue, "check section Mns and the queue's name", func(ctx context.Context) (string, error) {
				a, err := queueAttributes(ctx, c, queue)
				return fmt.Sprintf("visibility %s, retention %s", a.VisibilityTimeout, a.Retention), err
			}})
		}
	}
	if _, _, on, _ := redisOptions(c); on {
		probes = append(probes, probe{"redis", "check section Redis; without it cabinets are looked up in the database and replies wait", func(ctx context.Context) (string, error) {
			store, err := newRedis(c, nil, slog.New(slog.DiscardHandler))
			if err != nil {
				return "", err
			}
			defer store.Close()
			return "answers", store.Ping(ctx)
		}})
	}
	if c.Elasticsearch.Url != "" {
		probes = append(probes, probe{"elasticsearch", "check section Elasticsearch; without it only its documents are missing", func(ctx context.Context) (string, error) {
			sink, err := newElastic(c, slog.New(slog.DiscardHandler))
			if err != nil {
				return "", err
			}
			defer sink.Close()
			return "answers", sink.Ping(ctx)
		}})
	}
	return probes
}

func withDatabase(ctx context.Context, connection config.Secret, use func(*sql.DB) (string, error)) (string, error) {
	db, err := OpenDatabase(connection)
	if err != nil {
		return "", err
	}
	defer db.Close()
	if err := db.PingContext(ctx); err != nil {
		return "", err
	}
	return use(db)
}

func serverVersion(ctx context.Context, db *sql.DB) (version string, err error) {
	err = db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version)
	return version, err
}

func columns(ctx context.Context, connection config.Secret, tables []inspect.Table) (string, error) {
	return withDatabase(ctx, connection, func(db *sql.DB) (string, error) {
		return "all columns are there", inspect.CheckTables(ctx, db, tables)
	})
}

// withSession calls use with a connected MQTT session.
func withSession(ctx context.Context, c *config.Config, purpose string, use func(*device.Session) (string, error)) (string, error) {
	session, err := newSession(c, purpose, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); _ = session.Serve(ctx) }()
	defer func() { cancel(); <-done }()
	for {
		err := session.Healthy()
		if err == nil {
			return use(session)
		}
		select {
		case <-ctx.Done():
			return "", err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// dialURL connects to a server, or to the proxy that the environment names for it, and sends nothing.
func dialURL(ctx context.Context, address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	reachable := "reachable"
	if proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u}); err != nil {
		return "", err
	} else if proxy != nil {
		u, reachable = proxy, "its proxy "+proxy.Host+" is reachable"
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", dialAddress(u))
	if err != nil {
		return "", err
	}
	return reachable, conn.Close()
}

// dialAddress is host:port of an address, which may leave the port to its scheme.
func dialAddress(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
		if port == "" {
			port = "80"
		}
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func queueAttributes(ctx context.Context, c *config.Config, name string) (mns.Attributes, error) {
	q, err := Queue(c, name)
	if err != nil {
		return mns.Attributes{}, err
	}
	return q.Attributes(ctx)
}
