package daemon

import (
	"context"
	"time"

	"jdpay-listener/internal/payment"
	"jdpay-listener/internal/redisstore"
)

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
