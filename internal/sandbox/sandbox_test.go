package sandbox

import (
	"encoding/base64"
	"strings"
	"testing"
)

// TestStartFails: a start that fails is an error.
func TestStartFails(t *testing.T) {
	t.Setenv("TMPDIR", "/nonexistent")
	if c, err := Start(0); c != nil || err == nil || !strings.Contains(err.Error(), "TMPDIR") {
		t.Errorf("got %v, %v", c, err)
	}
}

func TestAmountOf(t *testing.T) {
	p := Payment{OrderNo: "R1", PayAmount: "8.00"}
	number := message(Envelope([]byte(`{"payAmount": 7.5}`), Md5Key))
	for body, want := range map[string]string{
		p.Message(Md5Key): "8.00", base64.StdEncoding.EncodeToString([]byte(p.Message(Md5Key))): "8.00", number: "7.5",
		"": "", "{}": "", `{"data":"e30="}`: "", "<html>": "",
	} {
		if got := amountOf(body); got != want {
			t.Errorf("amountOf(%q) = %q, want %q", body, got, want)
		}
	}
}
