package payment

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/message"
	"jdpay-listener/internal/sandbox"
)

// TestRedactedKeepsTheMoney: of a removed message only the fields of its payment remain, and no signature accepts it.
func TestRedactedKeepsTheMoney(t *testing.T) {
	t.Parallel()
	const secret = "13800138000"
	for name, tt := range map[string]struct {
		body string
		want string
	}{
		"a payment": {
			sandbox.Payment{OrderNo: "R1", PayType: "WXPAY", PayAmount: "8.00", PayTime: "2020-11-20 11:59:58", ExternalID: "4200", OrderType: secret}.Message("k"),
			`{"externalId":"4200","orderNo":"R1","payAmount":"8.00","payTime":"2020-11-20 11:59:58","payType":"WXPAY"}`,
		},
		"a reply":  {sandbox.Reply{MessageID: "pay-complete-1", Device: "CAB-1", Code: "0", Text: secret}.Message("k"), "{}"},
		"any text": {secret, "{}"},
		"no text":  {"", "{}"},
		"a payment with a field too long": {
			sandbox.Payment{OrderNo: strings.Repeat("R", 300) + secret, PayAmount: "8.00"}.Message("k"), `{"orderNo":"` + strings.Repeat("R", 255) + `…","payAmount":"8.00"}`,
		},
	} {
		got := Redacted(tt.body)
		sum := sha256.Sum256([]byte(tt.body))
		if !strings.HasPrefix(got, job.RedactedMark) || strings.Contains(got, secret) || !strings.Contains(got, hex.EncodeToString(sum[:])) {
			t.Errorf("%s: %s", name, got)
		}
		_, p, err := message.ReadUnverified(got, message.BodyAuto)
		if err != nil || string(p.Text) != tt.want {
			t.Errorf("%s: it says %s, %v; want %s", name, p.Text, err, tt.want)
		}
	}
}
