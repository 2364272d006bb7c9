package doctor

import (
	"cmp"
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"

	"jdpay-listener/internal/check"
	"jdpay-listener/internal/config"
	"jdpay-listener/internal/device"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/setup"
)

// transports connects to every dependency and reports how the connection is secured. Less security than the configuration
// asks for is a warning; with Security:Strict, a link that is not encrypted and verified fails. Those that failed, by the
// names of their findings, are not opened again.
func transports(ctx context.Context, c *config.Config, failed map[string]bool) []Finding {
	links := setup.Links(c)
	findings := make([]Finding, len(links))
	var wg sync.WaitGroup
	for i, asked := range links {
		if failed[asked.Name] || asked.Name == "mns" && failed[queueProbe(c.JDPay.NotifyQueueName)] {
			l := asked
			l.Session = noConnection
			findings[i] = transport(asked, l, c.Security.Strict)
			continue
		}
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, probeTimeout)
			defer cancel()
			findings[i] = transport(asked, observe(ctx, c, asked), c.Security.Strict)
		})
	}
	wg.Wait()
	return findings
}

// transport compares an open link with what the configuration asks for. Loading the configuration has warned of the latter.
func transport(asked, l setup.Link, strict bool) Finding {
	f := Finding{Name: "transport: " + l.Name, OK: true, Detail: lang.M("encrypted: %s, verified: %s, credentials: %s", lang.Marked(l.Encrypted), lang.Marked(l.Verified), lang.Marked(l.Credentials)), Transport: &l}
	if l.Session != "" {
		f.Detail = lang.Join([]lang.Message{f.Detail, lang.Marked(l.Session)}, "; ")
	}
	known, _ := asked.Risk()
	if problem, remedy := l.Risk(); !problem.IsZero() && (known.IsZero() || strict) {
		f.OK, f.Warning, f.Detail, f.Remedy = !strict, !strict, problem, remedy
	}
	return f
}

// noConnection is the Link.Session of a dependency that cannot be reached; its own finding says why.
const noConnection = "no connection"

// errNotInspected means that this program cannot see how a connection is encrypted.
var errNotInspected = errors.New("not looked at")

// observe connects and returns the link as its connection is.
func observe(ctx context.Context, c *config.Config, l setup.Link) setup.Link {
	var session string
	var err error
	verified := true
	ofTLS := func(state *tls.ConnectionState) {
		if state != nil {
			session, verified = sessionName(*state), len(state.VerifiedChains) > 0
		}
	}
	switch l.Key {
	case "ConnectionStrings:Account":
		session, err = databaseSession(ctx, c.ConnectionStrings.Account)
	case "ConnectionStrings:Main":
		session, err = databaseSession(ctx, c.ConnectionStrings.Main)
	case "Mns:Endpoint":
		err = handshake(ctx, c.Mns.Endpoint, "", ofTLS)
	case "JDApi:BaseUrl":
		err = handshake(ctx, c.JDApi.BaseUrl, c.JDApi.CaFile, ofTLS)
	case "Elasticsearch:Url":
		err = handshake(ctx, c.Elasticsearch.Url, c.Elasticsearch.CaFile, ofTLS)
	case "Mqtt:Server":
		_, err = withSession(ctx, c, "tls", func(s *device.Session) (lang.Message, error) {
			ofTLS(s.TLS())
			return lang.Message{}, nil
		})
	case "Redis:Server", "Redis:EndPoints":
		err = redisSession(ctx, c, ofTLS)
	case "Ops:Listen":
		return l
	default:
		err = handshake(ctx, alertAddress(c, l.Key), "", ofTLS)
	}
	switch {
	case errors.Is(err, errNotInspected):
		l.Session = err.Error()
	case err != nil: // the dependency's own finding says why
		l.Session = noConnection
	default:
		l = l.Observed(session, verified)
	}
	return l
}

// alertAddress is the address that a key of section Alerts holds.
func alertAddress(c *config.Config, key string) string {
	if key == "Alerts:Heartbeat" {
		return c.Alerts.Heartbeat.Reveal()
	}
	for _, t := range setup.AlertTargets(c) {
		if key == "Alerts:"+t.Name+":Url" {
			return t.URL
		}
	}
	return ""
}

// sessionName returns protocol and cipher of a TLS connection, for setup.Link.Observed.
func sessionName(s tls.ConnectionState) string {
	return tls.VersionName(s.Version) + " " + tls.CipherSuiteName(s.CipherSuite)
}

// sessionWord is the form of a protocol's or cipher's name; other texts of a server are not printed.
var sessionWord = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// databaseSession asks the server how the session is encrypted; empty when it is not. Behind a proxy that terminates TLS,
// that is the connection between proxy and server.
func databaseSession(ctx context.Context, connection config.Secret) (string, error) {
	return withDatabase(ctx, connection, func(db *sql.DB) (string, error) {
		status := map[string]string{}
		for _, name := range []string{"Ssl_version", "Ssl_cipher"} {
			var value string
			err := db.QueryRowContext(ctx, "SHOW SESSION STATUS LIKE '"+name+"'").Scan(&name, &value)
			switch {
			case errors.Is(err, sql.ErrNoRows): // a server built without TLS
			case err != nil:
				return "", fmt.Errorf("%w: the server does not tell", errNotInspected)
			case value != "" && !sessionWord.MatchString(value):
				value = "unknown"
			}
			status[name] = value
		}
		if status["Ssl_cipher"] == "" {
			return "", nil
		}
		return strings.Replace(status["Ssl_version"], "TLSv", "TLS ", 1) + " " + status["Ssl_cipher"], nil
	})
}

// handshake connects to an https address, calls onTLS with the connection's state, and sends nothing.
func handshake(ctx context.Context, address, caFile string, onTLS func(*tls.ConnectionState)) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" {
		return err
	}
	if proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u}); err != nil || proxy != nil {
		return fmt.Errorf("%w: through a proxy", errNotInspected)
	}
	secure, err := check.TLS(caFile)
	if err != nil {
		return err
	}
	conn, err := (&tls.Dialer{Config: secure}).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "443")))
	if err != nil {
		return err
	}
	state := conn.(*tls.Conn).ConnectionState()
	onTLS(&state)
	return conn.Close()
}

// redisSession pings Redis and calls onTLS with the connection's state, nil without TLS. With several servers, such as
// Sentinels, it is the last connection's.
func redisSession(ctx context.Context, c *config.Config, onTLS func(*tls.ConnectionState)) error {
	var mu sync.Mutex // the client opens connections concurrently
	var last *tls.ConnectionState
	store, err := setup.Redis(c, func(state tls.ConnectionState) {
		mu.Lock()
		defer mu.Unlock()
		last = &state
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer store.Close()
	if err := store.Ping(ctx); err != nil {
		return err
	}
	mu.Lock()
	defer mu.Unlock()
	onTLS(last)
	return nil
}
