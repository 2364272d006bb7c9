package jdapi

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

var (
	gzipMagic  = []byte{0x1f, 0x8b}
	errDamaged = errors.New("the reply cannot be decompressed")
)

// readable returns a reply as UTF-8 text. The reply may be compressed by gzip, which some gateways do without being asked or
// without saying so; it may begin with a byte order mark and be in GB18030, of which GBK is a part. Beside an error it
// returns the reply as far as it is readable.
func readable(body []byte) ([]byte, error) {
	if len(body) > maxReply {
		return body, errTooLong
	}
	if bytes.HasPrefix(body, gzipMagic) {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return body, errDamaged
		}
		plain, err := io.ReadAll(io.LimitReader(z, maxReply+1))
		switch {
		case err != nil:
			return body, errDamaged
		case len(plain) > maxReply:
			return plain, errTooLong
		}
		body = plain
	}
	if text, _, err := transform.Bytes(unicode.BOMOverride(encoding.Nop.NewDecoder()), body); err == nil {
		body = text
	}
	if utf8.Valid(body) {
		return body, nil
	}
	text, err := simplifiedchinese.GB18030.NewDecoder().Bytes(body)
	if err != nil || bytes.ContainsRune(text, utf8.RuneError) {
		return body, nil // another encoding: its ASCII is readable
	}
	return text, nil
}
