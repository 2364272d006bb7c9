package alert

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// webhook posts the notice as JSON, signed as of Standard Webhooks 1.0, for which receivers have libraries: HMAC-SHA256 over
// "id.time.body", the time in seconds, in the header webhook-signature after "v1,".
func webhook(t Target, n *Notice, _ *time.Location, now time.Time) (message, error) {
	body, err := json.Marshal(n)
	if err != nil {
		return message{}, err
	}
	stamp := strconv.FormatInt(now.Unix(), 10)
	header := map[string]string{"webhook-id": n.ID, "webhook-timestamp": stamp}
	if t.Secret != "" {
		header["webhook-signature"] = "v1," + sign(webhookKey(t.Secret), n.ID+"."+stamp+"."+string(body))
	}
	return message{t.URL, header, body}, nil
}

// webhookKey is the key of a secret: whsec_ and base64, or any text.
func webhookKey(secret string) []byte {
	if text, ok := strings.CutPrefix(secret, "whsec_"); ok {
		if key, err := base64.StdEncoding.DecodeString(text); err == nil {
			return key
		}
	}
	return []byte(secret)
}
