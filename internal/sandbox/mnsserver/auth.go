package mnsserver

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	apiVersion = "2015-06-06"
	// clockLeeway is the greatest difference between a request's Date and the server's clock.
	clockLeeway = 15 * time.Minute
)

// authorize checks the presence and form of the headers, the key, the clock and the signature, in that order.
func (s *Server) authorize(r *http.Request) error {
	authorization := r.Header.Get("Authorization")
	if authorization == "" {
		return errMissingAuthorization
	}
	credential, ok := strings.CutPrefix(authorization, "MNS ")
	keyID, signature, colon := strings.Cut(credential, ":")
	if !ok || !colon {
		return errInvalidAuthorization
	}
	date := r.Header.Get("Date")
	if date == "" {
		date = r.Header.Get("X-Mns-Date") // for clients that cannot set Date
	}
	if date == "" {
		return errMissingDate
	}
	sent, err := http.ParseTime(date)
	if err != nil {
		return errInvalidDate
	}
	switch r.Header.Get("X-Mns-Version") {
	case apiVersion:
	case "":
		return errMissingVersion
	default:
		return errInvalidVersion
	}
	secret, ok := s.keys[strings.TrimSpace(keyID)]
	if !ok {
		return errInvalidKey
	}
	if s.wallClock().Sub(sent).Abs() > clockLeeway {
		return errTimeExpired
	}
	want := sign(secret, stringToSign(r, date))
	if !hmac.Equal([]byte(strings.TrimSpace(signature)), []byte(want)) {
		return errBadSignature
	}
	return nil
}

// stringToSign is signature version 2: verb, digest, type and date as sent, the x-mns- headers sorted, and the request
// target as sent. The target is never decoded, because some clients escape a receipt handle before they sign it and
// others do not.
func stringToSign(r *http.Request, date string) string {
	b := make([]byte, 0, 256)
	for _, part := range []string{r.Method, r.Header.Get("Content-Md5"), r.Header.Get("Content-Type"), date} {
		b = append(append(b, part...), '\n')
	}
	var names []string
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Mns-") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		b = append(append(b, strings.ToLower(name)...), ':')
		b = append(append(b, strings.TrimSpace(strings.Join(r.Header[name], ","))...), '\n')
	}
	return string(append(b, requestTarget(r)...))
}

func sign(secret, text string) string {
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// checkDigest accepts Content-MD5 in both forms that the service takes: base64 of the 16 bytes, as RFC 1864 says, and
// base64 of their 32 hexadecimal digits, as the vendor's clients send it.
func checkDigest(header string, body []byte) error {
	if header == "" {
		return nil
	}
	digest, err := base64.StdEncoding.DecodeString(header)
	sum := md5.Sum(body)
	if err == nil && (string(digest) == string(sum[:]) || strings.EqualFold(string(digest), hex.EncodeToString(sum[:]))) {
		return nil
	}
	return errInvalidDigest
}
