package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// RedisOptions say how to reach Redis.
type RedisOptions struct {
	Addrs          []string // host:port; several are a cluster, or Sentinels when MasterName is set
	MasterName     string   // name of the master the Sentinels watch
	Username       string
	Password       Secret
	DB             int
	TLS            bool
	ServerName     string // on the servers' certificates; empty: the host of each address
	ClientName     string
	ConnectTimeout time.Duration // 0 when the string names none
}

// RedisOptions returns how to reach Redis, and false when it is off. Redis:EndPoints wins over Redis:Server; Redis:Password
// and Redis:Db win over what the address itself holds, as in the replaced program.
func (c *Config) RedisOptions() (opts RedisOptions, on bool) {
	opts, _, on, err := c.redis()
	return opts, on && err == nil
}

// redisKey is the key that Redis's address comes from.
func (c *Config) redisKey() string {
	if len(c.Redis.EndPoints) > 0 {
		return "Redis:EndPoints"
	}
	return "Redis:Server"
}

func (c *Config) redis() (opts RedisOptions, notices []string, on bool, err error) {
	address := c.Redis.Server.Reveal()
	if len(c.Redis.EndPoints) > 0 {
		all := make([]string, len(c.Redis.EndPoints))
		for i, e := range c.Redis.EndPoints {
			all[i] = e.Reveal()
		}
		address = strings.Join(all, ",")
	}
	if strings.TrimSpace(address) == "" {
		return RedisOptions{}, nil, false, nil
	}
	if opts, notices, err = ParseRedis(address); err != nil {
		return RedisOptions{}, nil, true, err
	}
	if c.Redis.Password.IsSet() {
		opts.Password = c.Redis.Password
	}
	if c.Redis.Db > 0 {
		opts.DB = c.Redis.Db
	}
	return opts, notices, true, nil
}

// ParseRedis reads a StackExchange.Redis string (host:port,host:port,password=…,ssl=true) or a redis:// or rediss://
// address. The notices name the options that have no effect here. The error says what is wrong without quoting it.
func ParseRedis(s string) (opts RedisOptions, notices []string, err error) {
	s = strings.TrimSpace(s)
	if strings.Contains(s, "://") && !strings.ContainsAny(s[:strings.Index(s, "://")], ",=") {
		opts, err = parseRedisURL(s)
		return opts, nil, err
	}
	return parseStackExchange(s)
}

func parseRedisURL(s string) (RedisOptions, error) {
	u, err := url.Parse(s)
	if err != nil {
		return RedisOptions{}, errors.New("not a redis:// address (percent-encode special characters in the password)")
	}
	if u.Scheme != "redis" && u.Scheme != "rediss" {
		return RedisOptions{}, errors.New("its scheme is not redis or rediss")
	}
	host, port, err := hostPort(u.Host)
	if err != nil {
		return RedisOptions{}, err
	}
	if port == 0 {
		port = 6379
	}
	opts := RedisOptions{
		Addrs:    []string{net.JoinHostPort(host, strconv.Itoa(port))},
		TLS:      u.Scheme == "rediss",
		Username: u.User.Username(),
	}
	password, _ := u.User.Password()
	opts.Password = NewSecret(password)
	db := strings.Trim(u.Path, "/")
	if query := u.Query().Get("db"); query != "" {
		db = query
	}
	if db != "" {
		if opts.DB, err = parseDB(db); err != nil {
			return RedisOptions{}, err
		}
	}
	return opts, nil
}

// parseDB reads a database number; -1 is StackExchange's word for "not said".
func parseDB(text string) (int, error) {
	db, err := strconv.Atoi(text)
	if err != nil || db < -1 {
		return 0, errors.New("the database is not a number")
	}
	return max(db, 0), nil
}

// parseStackExchange reads the comma-separated form. Options that tune the .NET client and change nothing for the
// servers are skipped; channelPrefix would change what other services hear and is noticed.
func parseStackExchange(s string) (opts RedisOptions, notices []string, err error) {
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
			host, port, err := hostPort(item)
			if err != nil {
				return RedisOptions{}, nil, fmt.Errorf("endpoint in part %d: %w", part, err)
			}
			endpoints = append(endpoints, endpoint{host, port})
			continue
		}
		value = strings.TrimSpace(value)
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "password":
			opts.Password = NewSecret(value)
		case "user":
			opts.Username = value
		case "name":
			opts.ClientName = value
		case "servicename":
			opts.MasterName = value
		case "ssl":
			if opts.TLS, err = strconv.ParseBool(strings.ToLower(value)); err != nil {
				return RedisOptions{}, nil, errors.New("ssl is not true or false")
			}
		case "sslhost":
			opts.ServerName = value
		case "defaultdatabase":
			if opts.DB, err = parseDB(value); err != nil {
				return RedisOptions{}, nil, err
			}
		case "connecttimeout":
			ms, err := strconv.Atoi(value)
			if err != nil || ms <= 0 {
				return RedisOptions{}, nil, errors.New("connectTimeout is not a number of milliseconds above zero")
			}
			opts.ConnectTimeout = time.Duration(ms) * time.Millisecond
		case "abortconnect", "allowadmin", "asynctimeout", "configcheckseconds", "connectretry", "keepalive", "protocol",
			"resolvedns", "responsetimeout", "setclientlibrary", "sslprotocols", "synctimeout", "tiebreaker", "version",
			"writebuffer":
		case "channelprefix":
			notices = append(notices, "channelPrefix has no effect here; put it in front of Redis:ReplyKeyPrefix")
		default:
			// The name may be the tail of a password with a comma, so it is not quoted.
			notices = append(notices, fmt.Sprintf("part %d is an option that has no effect here", part))
		}
	}
	if len(endpoints) == 0 {
		return RedisOptions{}, nil, errors.New("no endpoint (host:port)")
	}
	if opts.ServerName != "" && !opts.TLS {
		notices = append(notices, "sslHost has no effect without ssl=true")
	}
	for _, e := range endpoints {
		if e.port == 0 {
			e.port = defaultRedisPort(opts)
		}
		opts.Addrs = append(opts.Addrs, net.JoinHostPort(e.host, strconv.Itoa(e.port)))
	}
	return opts, notices, nil
}

// defaultRedisPort is the port StackExchange.Redis takes for an endpoint that names none.
func defaultRedisPort(opts RedisOptions) int {
	switch {
	case opts.MasterName != "":
		return 26379
	case opts.TLS:
		return 6380
	}
	return 6379
}
