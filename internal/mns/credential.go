package mns

import (
	"errors"
	"fmt"
	"sync"

	"github.com/aliyun/credentials-go/credentials"
)

// newCredential returns static keys, or the vendor's chain when there are none.
func newCredential(cfg Config) (credentials.Credential, error) {
	if cfg.AccessKeyID == "" {
		return &chainCredential{}, nil
	}
	keyType := "access_key"
	if cfg.SecurityToken != "" {
		keyType = "sts"
	}
	static := (&credentials.Config{}).SetType(keyType).
		SetAccessKeyId(cfg.AccessKeyID).
		SetAccessKeySecret(cfg.AccessKeySecret).
		SetSecurityToken(cfg.SecurityToken)
	credential, err := credentials.NewCredential(static)
	if err != nil {
		return nil, errors.New("mns: the access key is not usable: check its id, secret and token")
	}
	return credential, nil
}

// chainCredential makes the vendor's default chain (credentials-go 1.3.10) safe for a daemon. The
// chain is not safe for concurrent use. It keeps using the provider it asked last, even one that
// failed, and panics with a nil pointer when that provider fails later. So a mutex guards the chain,
// and after a failure the next call creates a new one.
type chainCredential struct {
	credentials.Credential // for the interface's other methods, which the MNS SDK does not call

	mu    sync.Mutex
	chain credentials.Credential
}

// GetCredential returns the keys of the first provider that has some. It may query the instance's
// metadata service, which takes a few seconds at most (the vendor's own timeouts).
func (c *chainCredential) GetCredential() (keys *credentials.CredentialModel, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() {
		if recover() != nil {
			keys, err = nil, errors.New("the provider that was used before has no credentials now")
		}
		if err != nil {
			c.chain = nil
			err = fmt.Errorf("asking the credential chain: %w", err)
		}
	}()
	if c.chain == nil {
		if c.chain, err = credentials.NewCredential(nil); err != nil {
			return nil, err
		}
	}
	return c.chain.GetCredential()
}
