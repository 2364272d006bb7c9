// Package redisstore is what Redis does for a payment: it remembers cabinets, so that the main database is asked less
// often, and it hands cabinets' replies to other services that wait for them. No payment depends on it: while Redis is
// down the cache forgets, and replies are tried again by their jobs.
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
	"jdpay-listener/internal/payment"
)

// The library has one logger for the whole process and writes to standard error with it. What matters reaches us as
// errors; the lines would only break the structured log.
func init() { logging.Disable() }

// Options says where Redis is.
type Options struct {
	Addrs          []string // host:port; several are a cluster, or Sentinels when MasterName is set
	MasterName     string   // name of the master that the Sentinels watch
	Username       string
	Password       string
	DB             int // not for clusters
	TLS            bool
	ServerName     string                    // on the servers' certificates; empty: each server's own host
	CAFile         string                    // PEM file with the authorities of the servers' certificates; empty: the system's
	OnTLS          func(tls.ConnectionState) // told of each encrypted connection; may be nil
	ClientName     string
	ConnectTimeout time.Duration // 0 is 1 s
	ReplyKeyPrefix string        // of the keys and channels that replies are written to
	CabinetTTL     time.Duration // how long a cabinet is remembered
	Log            *slog.Logger
}

const (
	defaultConnectTimeout = time.Second
	ioTimeout             = 300 * time.Millisecond  // of one read or write
	limit                 = 1500 * time.Millisecond // of a whole operation, connecting and finding the right node included
	// DevicePrefix is that of the keys in which cabinets are cached.
	DevicePrefix = "jdpay:device:"
)

// Check returns what is wrong with the options.
func (o Options) Check() (faults check.Faults) {
	// A message id is what a cabinet says it is.
	if strings.HasPrefix(DevicePrefix, o.ReplyKeyPrefix) || strings.HasPrefix(o.ReplyKeyPrefix, DevicePrefix) {
		faults.Add("ReplyKeyPrefix", "replies could overwrite cached cabinets ("+DevicePrefix+"…)", "give a prefix of its own, such as jdpay:reply:")
	}
	if _, err := check.TLS(o.CAFile); err != nil {
		faults.Add("CAFile", err.Error(), check.FileRemedy)
	}
	if o.CAFile != "" && !o.TLS {
		faults.Warn("CAFile", "has no effect without ssl=true or rediss://, and the connection is not encrypted")
	}
	return faults
}

// Store uses Redis. It may be used by many goroutines at once.
type Store struct {
	client redis.UniversalClient
	prefix string
	ttl    time.Duration
	outage *outage
}

// New returns a Store; it connects when it is first used. Its error is that of Check.
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
		ClientName: o.ClientName,

		DialTimeout:           cmp.Or(o.ConnectTimeout, defaultConnectTimeout),
		ReadTimeout:           ioTimeout,
		WriteTimeout:          ioTimeout,
		PoolTimeout:           ioTimeout,
		ContextTimeoutEnabled: true,

		// One attempt, one dial: the cache's caller has a database to ask, and a reply's job has a schedule. A
		// cluster needs its redirects to find a key's node.
		MaxRetries:    -1,
		DialerRetries: 1,
		MaxRedirects:  2,

		// The plainest protocol, which every server and proxy since Redis 2 speaks.
		Protocol:                 2,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		PipelinePoolSize:         -1,
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
	return &Store{client: redis.NewUniversalClient(u), prefix: o.ReplyKeyPrefix, ttl: o.CabinetTTL, outage: &outage{log: o.Log}}, nil
}

// Close closes the connections.
func (s *Store) Close() error { return s.client.Close() }

// Ping returns nil when Redis answers; it always asks.
func (s *Store) Ping(ctx context.Context) error {
	err := s.try(ctx, func(ctx context.Context) error { return s.client.Ping(ctx).Err() })
	if err != nil {
		return fmt.Errorf("asking redis for a sign of life: %w", err)
	}
	return nil
}

// Cabinets returns the cabinets it remembers, by the serials asked for; the map is never nil. It has no error to return: whatever is
// missing must be looked up elsewhere, and an outage of Redis is logged here. During one, it mostly answers at once.
func (s *Store) Cabinets(ctx context.Context, serials []string) map[string]payment.Cabinet {
	found := make(map[string]payment.Cabinet, len(serials))
	s.cache(ctx, len(serials), func(ctx context.Context) error {
		// Not MGET, which a cluster refuses for keys of different nodes.
		cmds, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, serial := range serials {
				p.Get(ctx, DevicePrefix+serial)
			}
			return nil
		})
		for i, cmd := range cmds {
			var c payment.Cabinet
			value, getErr := cmd.(*redis.StringCmd).Bytes()
			if getErr == nil && json.Unmarshal(value, &c) == nil {
				c.DeviceSN = cmp.Or(c.DeviceSN, serials[i]) // an earlier version wrote none
				found[serials[i]] = c
			}
		}
		if errors.Is(err, redis.Nil) { // only says that the first of the failed commands found nothing
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

// PutCabinets remembers cabinets, by the serials that they were found by, for Options.CabinetTTL. Like Cabinets it has no error to return.
func (s *Store) PutCabinets(ctx context.Context, cabinets map[string]payment.Cabinet) {
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

// PublishReply keeps a cabinet's reply under its message id for ttl and publishes it on the channel of the same name
// (contract, "Redis"). It always tries; an error means that either may not have happened, and both may be repeated.
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
		return fmt.Errorf("handing the reply to message %.64q to redis: %w", messageID, err)
	}
	return nil
}

// cache runs fn unless there is nothing to do or Redis is given a rest.
func (s *Store) cache(ctx context.Context, n int, fn func(context.Context) error) {
	if n == 0 || !s.outage.worthTrying() {
		return
	}
	_ = s.try(ctx, fn) // the caller can do without
}

// try runs fn within the limit and learns from its result whether Redis is up.
func (s *Store) try(parent context.Context, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(parent, limit, fmt.Errorf("no answer within %s", limit))
	defer cancel()
	err := fn(ctx)
	switch {
	case parent.Err() != nil:
		s.outage.unknown()
		if err != nil {
			err = context.Cause(parent)
		}
		return err
	case err != nil && ctx.Err() != nil:
		err = context.Cause(ctx)
	}
	s.outage.result(err)
	return err
}
