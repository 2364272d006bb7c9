package config

import "testing"

func TestInstanceName(t *testing.T) {
	random := []byte{0xde, 0xad, 0xbe, 0xef}
	for host, want := range map[string]string{
		"node1":                           "node1-42-deadbeef",
		"node 1.lan":                      "node-1.lan-42-deadbeef",
		"节点":                              "42-deadbeef",
		"":                                "42-deadbeef",
		"jdpay-listener-7d9f8b6c4d-x2x8p": "ay-listener-7d9f8b6c4d-x2x8p-42-deadbeef",
		"a-host-0123456789.0123456789.0123456789": "456789.0123456789.0123456789-42-deadbeef",
	} {
		t.Run(host, func(t *testing.T) {
			got := instanceName(host, 42, random)
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			if !instanceForm.MatchString(got) {
				t.Errorf("%q cannot be a client id", got)
			}
		})
	}
}

func TestInstanceStaysTheSameOnReload(t *testing.T) {
	first, second := mustLoad(t, "").Config.Host.Instance, mustLoad(t, "").Config.Host.Instance
	if first != second || !instanceForm.MatchString(first) {
		t.Errorf("the instance is %q, then %q", first, second)
	}
	if got := mustLoad(t, "", "Host__Instance=own").Config.Host.Instance; got != "own" {
		t.Errorf("the given name became %q", got)
	}
}
