// Package redisstore caches cabinets in Redis, to save queries of the main database, and publishes cabinets' replies to
// other services. No payment depends on it: while Redis is down nothing is cached, and the jobs of replies are retried.
package redisstore

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"jdpay-listener/internal/check"
	"jdpay-listener/internal/kernel"
	"jdpay-listener/internal/lang"
)

// The library logs to standard error, which is not structured. What matters it also returns as errors.
func init() { logging.Disable() }

// Options are the addresses and credentials of Redis, and the keys.
type Options struct {
	Addrs          []string // host:port; several mean a cluster, or Sentinels if MasterName is set
	MasterName     string   // of the master that the Sentinels watch
	Username       string
	Password       string
	DB             int // not for clusters
	TLS            bool
	ServerName     string                    // in the servers' certificates; empty: each server's own host
	CAFile         string                    // PEM file with the authorities of the servers' certificates; empty: the system's
	OnTLS          func(tls.ConnectionState) // called for each encrypted connection; may be nil
	ClientName     string
	ConnectTimeout time.Duration // 0 means 1 s
	ReplyKeyPrefix string        // of the keys and channels of replies
	CabinetTTL     time.Duration // of a cached cabinet
	Log            *slog.Logger
}

const (
	defaultConnectTimeout = time.Second
	ioTimeout             = 300 * time.Millisecond  // of one read or write
	operationTimeout      = 1500 * time.Millisecond // of a whole operation with connecting and redirects
	// DevicePrefix is the prefix of the keys of cached cabinets.
	DevicePrefix = "jdpay:device:"
)

// Check returns what is wrong with the options.
func (o Options) Check() (faults check.Faults) {
	// The message id of a reply, and so the end of its key, is chosen by the cabinet.
	if strings.HasPrefix(DevicePrefix, o.ReplyKeyPrefix) || strings.HasPrefix(o.ReplyKeyPrefix, DevicePrefix) {
		faults.Add("ReplyKeyPrefix", lang.M("replies could overwrite cached cabinets (%s…)", DevicePrefix), lang.M("give a prefix of its own, such as jdpay:reply:"))
	}
	if _, err := check.TLS(o.CAFile); err != nil {
		faults.Add("CAFile", lang.ErrorMessage(err), check.FileRemedy)
	}
	if o.CAFile != "" && !o.TLS {
		faults.Warn("CAFile", lang.M("has no effect without ssl=true or rediss://, and the connection is not encrypted"))
	}
	return faults
}

// Store is a client of Redis. It is safe for concurrent use.
type Store struct {
	client  redis.UniversalClient
	prefix  string
	ttl     time.Duration
	breaker *breaker
}

// New returns a Store; it connects at its first use. Its error is that of Check.
func New(o Options) (*Store, error) {
	secure, err := check.TLS(o.CAFile)
	if err := cmp.Or(o.Check().Err("redis"), err); err != nil {
		return nil, err
	}
	u := &redis.UniversalOptions{
		Addrs:      o.Addrs,
		MasterName: o.MasterName,
		Username:   o.Username,
		Password:   o.Password,
		DB:         o.DB,

		DialTimeout:           cmp.Or(o.ConnectTimeout, defaultConnectTimeout),
		ReadTimeout:           ioTimeout,
		WriteTimeout:          ioTimeout,
		PoolTimeout:           ioTimeout,
		ContextTimeoutEnabled: true,

		// No retries: a lookup falls back to the database, and a reply's job has a schedule. In a cluster redirects
		// lead to a key's node.
		MaxRetries:    -1,
		DialerRetries: 1,
		MaxRedirects:  2,

		// Protocol version 2 is supported by every server and proxy.
		Protocol:                 2,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		PipelinePoolSize:         -1,
	}
	if o.ClientName != "" {
		u.OnConnect = setName(o.ClientName)
	}
	if o.TLS {
		u.TLSConfig = secure
		secure.ServerName = o.ServerName
		secure.VerifyConnection = func(state tls.ConnectionState) error {
			if o.OnTLS != nil {
				o.OnTLS(state)
			}
			return nil
		}
	}
	return &Store{client: redis.NewUniversalClient(u), prefix: o.ReplyKeyPrefix, ttl: o.CabinetTTL, breaker: &breaker{log: o.Log}}, nil
}

// setName names a connection, for people. A server or user that does not permit it is no reason to do without Redis, as it
// would be with the library's own option.
func setName(name string) func(context.Context, *redis.Conn) error {
	return func(ctx context.Context, conn *redis.Conn) error {
		err := conn.ClientSetName(ctx, name).Err()
		var answer redis.Error
		if errors.As(err, &answer) {
			return nil
		}
		return err
	}
}

// Close closes the connections.
func (s *Store) Close() error { return s.client.Close() }

// Down reports whether the last operation failed: then lookups mostly do not ask Redis.
func (s *Store) Down() bool {
	_, err := s.breaker.outage.State()
	return err != nil
}

// Ping returns nil if Redis responds. It sends a PING even during an outage.
func (s *Store) Ping(ctx context.Context) error {
	err := s.try(ctx, func(ctx context.Context) error { return s.client.Ping(ctx).Err() })
	if err != nil {
		return fmt.Errorf("pinging redis: %w", err)
	}
	return nil
}

// Cabinets returns the cached cabinets, by the given serials; the map is never nil. It returns no error: the caller looks
// up missing cabinets in the database, and an outage of Redis is logged here. During one it mostly returns at once.
func (s *Store) Cabinets(ctx context.Context, serials []string) map[string]kernel.Cabinet {
	found := make(map[string]kernel.Cabinet, len(serials))
	s.cache(ctx, len(serials), func(ctx context.Context) error {
		// A cluster refuses MGET for keys of different nodes.
		cmds, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, serial := range serials {
				p.Get(ctx, DevicePrefix+serial)
			}
			return nil
		})
		for i, cmd := range cmds {
			var c kernel.Cabinet
			value, getErr := cmd.(*redis.StringCmd).Bytes()
			if getErr == nil && json.Unmarshal(value, &c) == nil {
				c.DeviceSN = cmp.Or(c.DeviceSN, serials[i]) // entries of earlier versions have none
				found[serials[i]] = c
			}
		}
		if errors.Is(err, redis.Nil) { // Pipelined returns the first error only
			err = firstFailure(cmds)
		}
		return err
	})
	return found
}

func firstFailure(cmds []redis.Cmder) error {
	for _, cmd := range cmds {
		if err := cmd.Err(); err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
	}
	return nil
}

// PutCabinets caches cabinets, by the serials of their lookups, for Options.CabinetTTL. Like Cabinets it returns no error.
func (s *Store) PutCabinets(ctx context.Context, cabinets map[string]kernel.Cabinet) {
	s.cache(ctx, len(cabinets), func(ctx context.Context) error {
		_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for serial, c := range cabinets {
				value, err := json.Marshal(c)
				if err != nil {
					return err
				}
				p.SetEx(ctx, DevicePrefix+serial, value, s.ttl)
			}
			return nil
		})
		return err
	})
}

// PublishReply stores a cabinet's reply under its message id for ttl and publishes it on the channel of the same name
// (contract, "Redis"). It tries even during an outage. After an error none, one or both may have happened; repeating is
// harmless.
func (s *Store) PublishReply(ctx context.Context, messageID string, reply []byte, ttl time.Duration) error {
	name := s.prefix + messageID
	err := s.try(ctx, func(ctx context.Context) error {
		_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			p.SetEx(ctx, name, reply, ttl)
			p.Publish(ctx, name, reply)
			return nil
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("publishing the reply to message %.64q in redis: %w", messageID, err)
	}
	return nil
}

// cache runs fn on n keys, unless n is 0 or an outage does not allow it.
func (s *Store) cache(ctx context.Context, n int, fn func(context.Context) error) {
	if n == 0 || !s.breaker.allow() {
		return
	}
	_ = s.try(ctx, fn) // try logs an outage; the caller does not depend on the cache
}

// try runs fn with operationTimeout and records its result.
func (s *Store) try(parent context.Context, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(parent, operationTimeout, fmt.Errorf("no response within %s", operationTimeout))
	defer cancel()
	err := fn(ctx)
	switch {
	case parent.Err() != nil:
		s.breaker.cancel()
		if err != nil {
			err = context.Cause(parent)
		}
		return err
	case err != nil && ctx.Err() != nil:
		err = context.Cause(ctx)
	}
	s.breaker.record(err)
	return err
}
