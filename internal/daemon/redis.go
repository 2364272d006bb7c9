package daemon

import (
	"context"
	"crypto/tls"
	"log/slog"
	"time"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/payment"
	"jdpay-listener/internal/redisstore"
)

// newRedis connects to Redis lazily, or returns nil when it is off. Redis being down stops nothing; authorities that
// cannot be read do. The observers are told of each TLS connection.
func newRedis(c *config.Config, log *slog.Logger, observers ...func(tls.ConnectionState)) (*redisstore.Store, error) {
	o, on := c.RedisOptions()
	if !on {
		return nil, nil
	}
	var secure *tls.Config
	if o.TLS {
		var err error
		if secure, err = clientTLS("Redis:CaFile", c.Redis.CaFile); err != nil {
			return nil, err
		}
		secure.ServerName = o.ServerName
		secure.VerifyConnection = func(state tls.ConnectionState) error {
			for _, observe := range observers {
				observe(state)
			}
			return nil
		}
	}
	return redisstore.New(redisstore.Options{
		Addrs: o.Addrs, MasterName: o.MasterName, Username: o.Username, Password: o.Password.Reveal(), DB: o.DB, TLS: secure,
		ClientName: o.ClientName, ConnectTimeout: o.ConnectTimeout, ReplyKeyPrefix: c.Redis.ReplyKeyPrefix, Log: log,
	}), nil
}

// deviceCache is Redis as the memory of cabinets.
type deviceCache struct {
	store *redisstore.Store
	ttl   time.Duration
}

// Groups returns the cabinets that Redis remembers.
func (c deviceCache) Groups(ctx context.Context, serials []string) map[string]payment.Group {
	found := c.store.Groups(ctx, serials)
	groups := make(map[string]payment.Group, len(serials))
	for serial, g := range found {
		groups[serial] = payment.Group(g)
	}
	return groups
}

// PutGroups makes Redis remember cabinets.
func (c deviceCache) PutGroups(ctx context.Context, groups map[string]payment.Group) {
	known := make(map[string]redisstore.Group, len(groups))
	for serial, g := range groups {
		known[serial] = redisstore.Group(g)
	}
	c.store.PutGroups(ctx, known, c.ttl)
}
