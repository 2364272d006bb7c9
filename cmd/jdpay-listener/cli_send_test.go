package main

import (
	"strings"
	"testing"
)

// TestSendIsAccepted: verify accepts what send makes with the same configuration.
func TestSendIsAccepted(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"with nothing configured":   nil,
		"base64 bodies only":        {"JDPay__BodyEncoding": "base64"},
		"another profile":           {"JDPay__SignProfile": "concat_kv_wrapped"},
		"only some fields signed":   {"JDPay__Include__0": "data"},
		"a status that means paid":  {"Payment__StatusField": "payStatus", "Payment__SuccessStatuses__0": "FINISH"},
		"amounts in fen":            {"Payment__AmountUnit": "fen"},
		"times of another zone":     {"Payment__TimeZone": "Europe/Berlin"},
		"two keys, the first signs": {"JDPay__Md5Key__0": "new", "JDPay__Md5Key__1": "old"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if env["JDPay__Md5Key__0"] == "" {
				t.Setenv("JDPay__Md5Key", "k")
			}
			for key, value := range env {
				t.Setenv(key, value)
			}
			message, errOut, code := inProcess(t, "", "send", "--order", "R1", "--amount", "800", "--dry-run")
			if code != exitOK {
				t.Fatalf("exit %d: %s", code, errOut)
			}
			if out, errOut, code := inProcess(t, message, "verify"); code != exitOK {
				t.Errorf("exit %d\n%s%s", code, out, errOut)
			}
		})
	}
}

func TestSendFlags(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("JDPay__Md5Key", "k")
	t.Run("each one is in the payload", func(t *testing.T) {
		message, _, _ := inProcess(t, "", "send", "--order", "R1", "--amount", "8.00", "--pay-type", "ALIPAY", "--pay-time", "2020-11-20 12:00:00",
			"--external-id", "E1", "--field", "termNo=T=9", "--dry-run")
		out, errOut, code := inProcess(t, message, "verify")
		for _, want := range []string{"8.00 yuan", "2020-11-20T12:00:00+08:00", `by "ALIPAY"`, "E1", `"termNo":"T=9"`} {
			if !strings.Contains(out, want) {
				t.Errorf("no %s: exit %d\n%s%s", want, code, out, errOut)
			}
		}
	})
	t.Run("a whole message is sent unchanged", func(t *testing.T) {
		out, errOut, code := inProcess(t, "no message", "send", "--body", "-", "--dry-run")
		if code != exitOK || out != "no message\n" {
			t.Errorf("exit %d: %q %s", code, out, errOut)
		}
	})
	t.Run("flags that a whole message would ignore are refused", func(t *testing.T) {
		for _, flag := range []string{"--order=R1", "--amount=1", "--pay-time=x", "--external-id=E1", "--field=a=b"} {
			_, errOut, code := inProcess(t, "no message", "send", "--body", "-", flag, "--dry-run")
			if code != exitUsage || !strings.Contains(errOut, "--body is a whole message") {
				t.Errorf("%s: exit %d: %s", flag, code, errOut)
			}
		}
	})
}
