package main

import (
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestVerifyEscapesForgedTexts(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("JDPay__Md5Key", "secret-key")
	forged := `{"data":"aGVsbG8=","sign":"x\nverdict  accepted","\u001b]0;name\u0007":"\u001b[31m\t\u202e"}`
	out, errOut, code := inProcess(t, forged, "verify")
	if code != exitFailed {
		t.Errorf("exit %d", code)
	}
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "verdict") && !strings.Contains(line, "not accepted") {
			t.Errorf("the message forges a verdict: %q", line)
		}
	}
	if strings.ContainsAny(out+errOut, "\x1b\a\u202e") {
		t.Errorf("control characters are printed: %q", out+errOut)
	}
	if !strings.Contains(out, `x\nverdict  accepted`) || !strings.Contains(out, `\x1b[31m\t\u202e`) {
		t.Errorf("the signed text is not printed exactly:\n%s", out)
	}
}

func TestVerifyInput(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("JDPay__Md5Key", "k")
	if err := os.WriteFile("big", make([]byte, maxInput+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"big": "more than 1 MiB", ".": "is a directory", "nofile": "no such file"} {
		_, errOut, code := inProcess(t, "", "verify", name)
		if code != exitFailed || !strings.Contains(errOut, want) || strings.Count(errOut, "\n") != 1 {
			t.Errorf("%s: exit %d, %q", name, code, errOut)
		}
	}
}

func TestVerifyNamesTheFault(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("JDPay__Md5Key", "k")
	t.Setenv("JDPay__SignProfile", "data_key")
	t.Setenv("Payment__StatusField", "payStatus")
	t.Setenv("Payment__SuccessStatuses__0", "FINISH")
	message, _, _ := inProcess(t, "", "send", "--order", "R1", "--amount", "8.00", "--field", "payStatus=REFUND", "--dry-run")
	t.Run("a status that does not mean paid is no reason to change the profile", func(t *testing.T) {
		_, errOut, code := inProcess(t, message, "verify")
		if code != exitFailed || !strings.Contains(errOut, "not_success") || strings.Contains(errOut, "SignProfile") {
			t.Errorf("exit %d: %s", code, errOut)
		}
	})
	t.Run("a cabinet's reply needs what the daemon needs", func(t *testing.T) {
		// Signed with data_key: MD5 of the base64 text and k.
		for body, want := range map[string]int{
			`{"data":"eyJtZXNzYWdlSWQiOiJtIiwiY29kZSI6IjAifQ==","sign":"32aa86a15df78eb8910884fa95f9c5a0"}`: exitOK,
			`{"data":"eyJjb2RlIjoiMCJ9","sign":"b9f3dad3b71d90e21a98aae3e01f05d5"}`:                         exitFailed,
		} {
			if out, errOut, code := inProcess(t, body, "verify", "--reply"); code != want {
				t.Errorf("exit %d, want %d\n%s%s", code, want, out, errOut)
			}
		}
	})
}

// TestVerifyNamesSettingsThatWork gives verify the settings that it named.
func TestVerifyNamesSettingsThatWork(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("JDPay__Md5Key", "k")
	data := base64.StdEncoding.EncodeToString([]byte(`{"orderNo":"R1","payType":"WXPAY","payAmount":"8.00","payTime":"2020-11-20 12:00:00","externalId":"E1"}`))
	body := fmt.Sprintf(`{"data":"%s","signType":"MD5","sign":"%x"}`, data, md5.Sum([]byte("data="+data+"&k")))
	_, errOut, code := inProcess(t, body, "verify")
	const named = "JDPay:Exclude=sign,signType"
	if code != exitFailed || !strings.Contains(errOut, "("+named+")") {
		t.Fatalf("exit %d: %s", code, errOut)
	}
	if out, errOut, code := inProcess(t, body, "verify", "--set", named); code != exitOK {
		t.Errorf("exit %d\n%s%s", code, out, errOut)
	}
}

// TestVerifyHidesTheExpectedSignature verifies a forged message: the right signature is printed only with --show-signature.
func TestVerifyHidesTheExpectedSignature(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("JDPay__Md5Key", "k")
	const forged = `{"data":"eyJvcmRlck5vIjoiUjEifQ==","sign":"00000000000000000000000000000000"}`
	right := fmt.Sprintf("%x", md5.Sum([]byte("data=eyJvcmRlck5vIjoiUjEifQ==&k")))
	for _, form := range [][]string{{"verify"}, {"verify", "--json"}} {
		out, errOut, code := inProcess(t, forged, form...)
		if code != exitFailed || strings.Contains(out+errOut, right) {
			t.Errorf("%v: exit %d\n%s%s", form, code, out, errOut)
		}
		if out, _, _ := inProcess(t, forged, append(form, "--show-signature")...); !strings.Contains(out, right) {
			t.Errorf("%v --show-signature does not show it:\n%s", form, out)
		}
	}
	out, _, _ := inProcess(t, forged, "verify")
	if !strings.Contains(out, "gives another sign") {
		t.Errorf("the output does not say whether the key matches:\n%s", out)
	}
	if out, _, _ = inProcess(t, strings.Replace(forged, strings.Repeat("0", 32), right, 1), "verify"); !strings.Contains(out, "gives this sign") {
		t.Errorf("the output does not say whether the key matches:\n%s", out)
	}
}
