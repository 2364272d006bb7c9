package payment

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/message"
)

// KeepsMessage reports whether jobs of this kind keep a text that came from outside: a queue message, or a cabinet's reply.
func KeepsMessage(kind string) bool {
	return kind == KindSettle || kind == KindReply || kind == KindPublishReply
}

// moneyFields are the fields of a payload that remain when a message is removed.
var moneyFields = []string{"orderNo", "payAmount", "payType", "payTime", "externalId"}

// maxMoneyField bounds each of them in bytes: anybody who can write into a queue can put a text of any length there.
const maxMoneyField = 255

// Redacted returns what takes the place of a kept message that is removed: an unsigned message that has only what its payment
// needs, so that trace, the log and documents still have the amount. Bytes and SHA-256 are those of the removed text.
func Redacted(body string) string {
	kept := map[string]string{}
	if _, p, err := message.ReadUnverified(body, message.BodyAuto); err == nil && p.IsPayment() {
		for _, name := range moneyFields {
			if value := p.Get(name); value != "" {
				kept[name] = message.Cut(value, maxMoneyField)
			}
		}
	}
	sum := sha256.Sum256([]byte(body))
	data, _ := json.Marshal(kept)      // texts alone
	fields, _ := json.Marshal(struct { // texts and a number alone
		Bytes  int    `json:"bytes"`
		SHA256 string `json:"sha256"`
		Data   string `json:"data"`
		Sign   string `json:"sign"`
	}{len(body), hex.EncodeToString(sum[:]), string(data), "removed"})
	return job.RedactedMark + string(fields[1:])
}
