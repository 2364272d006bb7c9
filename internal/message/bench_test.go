package message

import "testing"

// benchBody is a genuine message, and benchRules accept it.
var (
	benchRules = rulesOf(Profile{Name: "kv_amp_bare", Exclude: []string{"sign"}}, "")
	benchBody  = func() string {
		data := base64Of(payText("R1", "8.00", "externalId", "X-R1"))
		return body("merchantNo", "110000001", "data", data, "sign", signedBy("kv_amp_bare", testKey, "data", data, "merchantNo", "110000001"))
	}()
)

// BenchmarkVerify verifies one message.
func BenchmarkVerify(b *testing.B) {
	env, err := ParseEnvelope(benchBody, BodyAuto)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := benchRules.Profile.Verify(env, benchRules.Keys); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecode decodes one message from its body to the notification, without verifying it.
func BenchmarkDecode(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		env, err := ParseEnvelope(benchBody, BodyAuto)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := decodeNotification(env, benchRules.Format); err != nil {
			b.Fatal(err)
		}
	}
}
