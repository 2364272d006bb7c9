package mns

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
)

func TestNewClientEndpoint(t *testing.T) {
	tests := map[string]struct {
		endpoint string
		want     string // the base; empty: an error
	}{
		"Aliyun name":            {"http://1234567890.mns.cn-shanghai.aliyuncs.com", "http://1234567890.mns.cn-shanghai.aliyuncs.com"},
		"Aliyun name over TLS":   {"https://1234567890.mns.cn-shanghai.aliyuncs.com/", "https://1234567890.mns.cn-shanghai.aliyuncs.com"},
		"internal name":          {"http://1.mns.cn-shanghai-internal.aliyuncs.com", "http://1.mns.cn-shanghai-internal.aliyuncs.com"},
		"VPC name of more parts": {"http://1.mns.cn-shanghai-internal-vpc.a.aliyuncs.com", "http://1.mns.cn-shanghai-internal-vpc.a.aliyuncs.com"},
		"loopback":               {"http://127.0.0.1:8080", "http://127.0.0.1:8080"},
		"no scheme":              {"127.0.0.1:8080", ""},
		"IPv6":                   {"http://[::1]:8080", "http://[::1]:8080"},
		"padded for the SDK":     {"http://127.0.0.1:8080/.", "http://127.0.0.1:8080"},
		"surrounding spaces":     {" http://mns \n", "http://mns"},
		"empty":                  {"", ""},
		"blank":                  {"  ", ""},
		"no host":                {"http://:8080", ""},
		"other scheme":           {"ftp://mns", ""},
		"path":                   {"http://mns/queues", ""},
		"query":                  {"http://mns?x=1", ""},
		"user information":       {"http://user:hunter2@mns", ""},
		"not an address":         {"http://user:hunter2@[::1", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			client, err := NewClient(Config{Endpoint: tt.endpoint, AccessKeyID: testKeyID, AccessKeySecret: testSecret})
			if tt.want == "" {
				if err == nil {
					t.Fatalf("NewClient() accepts %q", tt.endpoint)
				}
				if strings.Contains(err.Error(), "hunter2") {
					t.Errorf("the error shows the password: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := client.transport.base.String(); got != tt.want {
				t.Errorf("base = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestNewClientCredentials(t *testing.T) {
	tests := map[string]struct {
		id, secret, token string
		ok                bool
	}{
		"key":               {testKeyID, testSecret, "", true},
		"key and token":     {testKeyID, testSecret, "token", true},
		"none: chain":       {"", "", "", true},
		"id without secret": {testKeyID, "", "", false},
		"secret without id": {"", testSecret, "", false},
		"token without key": {"", "", "token", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := NewClient(Config{Endpoint: "http://mns", AccessKeyID: tt.id, AccessKeySecret: tt.secret, SecurityToken: tt.token})
			if (err == nil) != tt.ok {
				t.Errorf("NewClient() error = %v, want ok = %t", err, tt.ok)
			}
		})
	}
}

func TestQueueName(t *testing.T) {
	tests := map[string]bool{
		"JDPayNotify":              true,
		"1-a":                      true,
		strings.Repeat("a", 256):   true,
		"":                         false,
		"-a":                       false,
		"a/b":                      false,
		"a?b":                      false,
		"队列":                       false,
		strings.Repeat("a", 257):   false,
		"a\n":                      false,
		"demo/messages?peekonly=1": false,
	}
	client, err := NewClient(Config{Endpoint: "http://mns", AccessKeyID: testKeyID, AccessKeySecret: testSecret})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range tests {
		if _, err := client.Queue(name); (err == nil) != want {
			t.Errorf("Queue(%q) error = %v, want ok = %t", name, err, want)
		}
	}
}

func TestSecurityTokenIsSent(t *testing.T) {
	d := newDouble(t, func(w http.ResponseWriter, _ *http.Request, _ string) { writeMNS(w, 404, errorXML("MessageNotExist")) })
	q := newQueue(t, Config{Endpoint: d.URL, AccessKeyID: testKeyID, AccessKeySecret: testSecret, SecurityToken: "sts-token"})
	if _, err := q.Peek(t.Context(), 1); !errors.Is(err, ErrEmpty) {
		t.Fatal(err)
	}
	if got := d.requests()[0].Header.Get("Security-Token"); got != "sts-token" {
		t.Errorf("Security-Token = %q", got)
	}
}

// noCredentials clears the sources of the vendor's chain.
func noCredentials(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	for _, name := range []string{"ACCESS_KEY_ID", "ACCESS_KEY_SECRET", "SECURITY_TOKEN", "ECS_METADATA", "CREDENTIALS_FILE", "ROLE_ARN", "OIDC_PROVIDER_ARN", "OIDC_TOKEN_FILE"} {
		t.Setenv("ALIBABA_CLOUD_"+name, "")
	}
}

// The vendor's chain panics at the call after a failure.
func TestCredentialChainRecovers(t *testing.T) {
	d := newDouble(t, func(w http.ResponseWriter, _ *http.Request, _ string) { writeMNS(w, 404, errorXML("MessageNotExist")) })
	noCredentials(t)
	q := newQueue(t, Config{Endpoint: d.URL})
	for range 3 {
		if _, err := q.Peek(t.Context(), 1); !errors.Is(err, ErrAuth) {
			t.Fatalf("without credentials: %v, want ErrAuth", err)
		}
	}
	if n := len(d.requests()); n != 0 {
		t.Fatalf("%d requests without credentials", n)
	}
	t.Setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", testKeyID)
	t.Setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", testSecret)
	if _, err := q.Peek(t.Context(), 1); !errors.Is(err, ErrEmpty) {
		t.Fatalf("with credentials: %v, want ErrEmpty", err)
	}
	t.Setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", "")
	if _, err := q.Peek(t.Context(), 1); !errors.Is(err, ErrAuth) {
		t.Errorf("credentials gone again: %v, want ErrAuth", err)
	}
}

// The vendor's chain is not safe for concurrent use; the race detector would report it.
func TestCredentialChainIsCalledByOneGoroutineAtATime(t *testing.T) {
	noCredentials(t)
	chain := &chainCredential{}
	start := make(chan struct{})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			<-start
			if _, err := chain.GetCredential(); err == nil {
				t.Error("credentials without a source")
			}
		})
	}
	close(start)
	all.Wait()
}
