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
	kind := "access_key"
	if cfg.SecurityToken != "" {
		kind = "sts"
	}
	static := (&credentials.Config{}).SetType(kind).
		SetAccessKeyId(cfg.AccessKeyID).
		SetAccessKeySecret(cfg.AccessKeySecret).
		SetSecurityToken(cfg.SecurityToken)
	credential, err := credentials.NewCredential(static)
	if err != nil {
		return nil, errors.New("mns: the access key is not usable: check its id, secret and token")
	}
	return credential, nil
}

// chainCredential makes the vendor's default chain usable for a program that runs for months. The
// chain (credentials-go 1.3.10) is not safe for concurrent use; it settles on the provider it asked
// last, even one that failed; and from then on a failure of that provider is a nil pointer panic.
// So one caller asks at a time, and after any failure the next call starts with a new chain.
type chainCredential struct {
	credentials.Credential // the interface's other methods, which the MNS SDK does not call

	mu    sync.Mutex
	chain credentials.Credential
}

// GetCredential returns the keys of the first provider that has some. It may ask the instance's
// metadata service, for at most the few seconds the vendor's own timeouts allow.
func (c *chainCredential) GetCredential() (keys *credentials.CredentialModel, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() {
		if recover() != nil {
			keys, err = nil, errors.New("the provider that gave credentials before has none now")
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
