package redisstore

import (
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"jdpay-listener/internal/check"
	"jdpay-listener/internal/lang"
)

// ConnectionStringRemedy is the remedy for a connection string that ParseConnectionString refuses.
var ConnectionStringRemedy = lang.M("write host:port,password=…,defaultDatabase=… or redis://host:port/db")

// ParseConnectionString reads a StackExchange.Redis string (host:port,host:port,password=…,ssl=true) or a redis:// or rediss://
// address. The notices name the options that have no effect here. The error does not quote the string, which may contain
// a password.
func ParseConnectionString(s string) (opts Options, notices []lang.Message, err error) {
	s = strings.TrimSpace(s)
	if strings.Contains(s, "://") && !strings.ContainsAny(s[:strings.Index(s, "://")], ",=") {
		opts, err = parseRedisURL(s)
		return opts, nil, err
	}
	return parseStackExchange(s)
}

func parseRedisURL(s string) (Options, error) {
	u, err := url.Parse(s)
	if err != nil {
		return Options{}, lang.Errorf("not a redis:// address (percent-encode special characters in the password)")
	}
	if u.Scheme != "redis" && u.Scheme != "rediss" {
		return Options{}, lang.Errorf("its scheme is not redis or rediss")
	}
	host, port, err := check.HostPort(u.Host)
	if err != nil {
		return Options{}, err
	}
	if port == 0 {
		port = 6379
	}
	opts := Options{
		Addrs:    []string{net.JoinHostPort(host, strconv.Itoa(port))},
		TLS:      u.Scheme == "rediss",
		Username: u.User.Username(),
	}
	opts.Password, _ = u.User.Password()
	db := strings.Trim(u.Path, "/")
	if query := u.Query().Get("db"); query != "" {
		db = query
	}
	if db != "" {
		if opts.DB, err = parseDB(db); err != nil {
			return Options{}, err
		}
	}
	return opts, nil
}

// parseDB reads a database number; in StackExchange.Redis -1 means that none is given.
func parseDB(text string) (int, error) {
	db, err := strconv.Atoi(text)
	if err != nil || db < -1 {
		return 0, lang.Errorf("the database is not a number")
	}
	return max(db, 0), nil
}

// parseStackExchange reads the comma-separated form. Options that tune only the .NET client are skipped. channelPrefix,
// which would change the channels of replies, causes a notice.
func parseStackExchange(s string) (opts Options, notices []lang.Message, err error) {
	type endpoint struct {
		host string
		port int
	}
	var endpoints []endpoint
	part := 0
	for item := range strings.SplitSeq(s, ",") {
		part++
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		name, value, isOption := strings.Cut(item, "=")
		if !isOption {
			host, port, err := check.HostPort(item)
			if err != nil {
				return Options{}, nil, lang.Errorf("endpoint in part %d: %s", part, err)
			}
			endpoints = append(endpoints, endpoint{host, port})
			continue
		}
		value = strings.TrimSpace(value)
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "password":
			opts.Password = value
		case "user":
			opts.Username = value
		case "name":
			if opts.ClientName = clientName(value); opts.ClientName != value {
				notices = append(notices, lang.M("name: Redis takes only visible ASCII characters in it, the others are left out"))
			}
		case "servicename":
			opts.MasterName = value
		case "ssl":
			if opts.TLS, err = strconv.ParseBool(strings.ToLower(value)); err != nil {
				return Options{}, nil, lang.Errorf("ssl is not true or false")
			}
		case "sslhost":
			opts.ServerName = value
		case "defaultdatabase":
			if opts.DB, err = parseDB(value); err != nil {
				return Options{}, nil, err
			}
		case "connecttimeout":
			ms, err := strconv.Atoi(value)
			if err != nil || ms <= 0 {
				return Options{}, nil, lang.Errorf("connectTimeout is not a number of milliseconds above zero")
			}
			opts.ConnectTimeout = time.Duration(ms) * time.Millisecond
		case "abortconnect", "allowadmin", "asynctimeout", "configcheckseconds", "connectretry", "keepalive", "protocol",
			"resolvedns", "responsetimeout", "setclientlibrary", "sslprotocols", "synctimeout", "tiebreaker", "version",
			"writebuffer":
		case "channelprefix":
			notices = append(notices, lang.M("channelPrefix has no effect here; put it in front of the prefix of replies"))
		default:
			// The name may be the rest of a password that contains a comma, so it is not quoted.
			notices = append(notices, lang.M("part %d is an option that has no effect here", part))
		}
	}
	if len(endpoints) == 0 {
		return Options{}, nil, lang.Errorf("no endpoint (host:port)")
	}
	if opts.ServerName != "" && !opts.TLS {
		notices = append(notices, lang.M("sslHost has no effect without ssl=true"))
	}
	for _, e := range endpoints {
		if e.port == 0 {
			e.port = defaultPort(opts)
		}
		opts.Addrs = append(opts.Addrs, net.JoinHostPort(e.host, strconv.Itoa(e.port)))
	}
	return opts, notices, nil
}

// clientName is a client's name without the characters that Redis refuses, as StackExchange.Redis sends it.
func clientName(name string) string {
	return strings.Map(func(r rune) rune {
		if r < '!' || r > '~' {
			return -1
		}
		return r
	}, name)
}

// defaultPort is the port that StackExchange.Redis uses for an endpoint without one.
func defaultPort(opts Options) int {
	switch {
	case opts.MasterName != "":
		return 26379
	case opts.TLS:
		return 6380
	}
	return 6379
}
