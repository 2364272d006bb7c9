package daemon

import (
	"testing"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/redisstore"
)

// TestOneCachePrefix requires that the configuration guards the keys that the store uses.
func TestOneCachePrefix(t *testing.T) {
	if config.DeviceKeyPrefix != redisstore.DevicePrefix {
		t.Errorf("the configuration guards %s, the store uses %s", config.DeviceKeyPrefix, redisstore.DevicePrefix)
	}
}
