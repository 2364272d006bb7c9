package message

import (
	"crypto/md5"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
)

// Profile defines the text that is hashed with MD5. JD's products use at least these recipes (domain notes §1.3). Which one
// a product uses can only be found from a real message: `jdpay-listener verify` does that.
type Profile struct {
	Name                string
	SkipEmpty           bool     // leave fields without a value out
	Exclude             []string // not hashed; case is ignored. Field sign is never hashed
	Include             []string // if not empty, only these are hashed; case is ignored
	CaseInsensitiveSort bool
	TrimValues          bool // hash values without surrounding white space; SkipEmpty then leaves blank ones out, too
}

// Profiles are the names of all recipes. a and b stand for fields in sorted order, K for the key.
var Profiles = []string{
	"kv_amp_bare",       // a=1&b=2&K
	"kv_append",         // a=1&b=2K
	"kv_amp_key",        // a=1&b=2&key=K
	"concat_kv",         // a1b2K
	"concat_kv_wrapped", // Ka1b2K
	"values_only",       // 12K
	"data_key",          // data, then K
	"key_data",          // K, then data
}

// ErrBadSignature means that a message is not signed with any of the keys: it is forged or altered, or the key or the
// profile is wrong.
var ErrBadSignature = errors.New("bad signature")

// Verify returns ErrBadSignature unless the envelope is signed with one of the keys. Several are accepted while a key
// is rotated. An empty key never verifies anything, nor does a profile that leaves data unsigned.
func (p Profile) Verify(e Envelope, keys []string) error {
	if !p.signs("data") {
		return ErrBadSignature
	}
	given := []byte(strings.ToLower(e.Sign))
	matches := 0
	for _, key := range keys {
		if key != "" {
			matches |= subtle.ConstantTimeCompare([]byte(p.Sign(e, key)), given)
		}
	}
	if matches != 1 {
		return ErrBadSignature
	}
	return nil
}

// Sign returns the signature that the envelope must have: an MD5 in lower-case hexadecimal.
func (p Profile) Sign(e Envelope, key string) string {
	sum := md5.Sum([]byte(p.Text(e, key)))
	return hex.EncodeToString(sum[:])
}

// Text returns the text that is hashed.
func (p Profile) Text(e Envelope, key string) string {
	switch p.Name {
	case "data_key":
		return p.value(e.Data) + key
	case "key_data":
		return key + p.value(e.Data)
	}
	fields := p.signed(e)
	pairs := strings.HasPrefix(p.Name, "kv_")
	var b strings.Builder
	b.Grow(len(e.Data) + 256)
	if p.Name == "concat_kv_wrapped" {
		b.WriteString(key)
	}
	for i, f := range fields {
		if pairs && i > 0 {
			b.WriteByte('&')
		}
		if p.Name != "values_only" {
			b.WriteString(f.Name)
		}
		if pairs {
			b.WriteByte('=')
		}
		b.WriteString(f.Value)
	}
	switch p.Name {
	case "kv_amp_bare":
		b.WriteByte('&')
	case "kv_amp_key":
		b.WriteString("&key=")
	}
	b.WriteString(key)
	return b.String()
}

// signed returns the fields that are hashed, sorted by name.
func (p Profile) signed(e Envelope) []Field {
	fields := make([]Field, 0, len(e.Fields))
	for _, f := range e.Fields {
		if f.Value = p.value(f.Value); p.signs(f.Name) && !(p.SkipEmpty && f.Value == "") {
			fields = append(fields, f)
		}
	}
	slices.SortFunc(fields, func(a, b Field) int {
		if p.CaseInsensitiveSort {
			if c := strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)); c != 0 {
				return c
			}
		}
		return strings.Compare(a.Name, b.Name)
	})
	return fields
}

// value returns a value as it is hashed.
func (p Profile) value(s string) string {
	if p.TrimValues {
		return strings.TrimSpace(s)
	}
	return s
}

// signs reports whether a field with a value is hashed.
func (p Profile) signs(name string) bool {
	switch {
	case strings.EqualFold(name, "sign"):
		return false
	case p.dataOnly():
		return strings.EqualFold(name, "data")
	}
	return !containsFold(p.Exclude, name) && (len(p.Include) == 0 || containsFold(p.Include, name))
}

// dataOnly reports whether the recipe hashes data and no other field.
func (p Profile) dataOnly() bool { return p.Name == "data_key" || p.Name == "key_data" }

func containsFold(names []string, name string) bool {
	return slices.ContainsFunc(names, func(s string) bool { return strings.EqualFold(s, name) })
}

// Unambiguous returns an ErrMalformed if the envelope's hashed text could also be that of a message with another data or
// another status (field status; empty: none). It is needed beside Verify: a signature proves the text, but not where its
// fields begin and end.
//
// With the kv_ recipes an accepted message has "data=" only once, at the beginning or after &: names contain neither & nor
// =, values do not contain "&data=", and there is only one field data. The same is true of the status. The concat_ recipes
// and values_only do not separate fields. They are unambiguous only if data is the only hashed field (JDPay:Include);
// otherwise a part of a value that others choose can be taken for data.
func (p Profile) Unambiguous(e Envelope, status string) error {
	if status != "" {
		if err := e.requireOnce(status); err != nil {
			return err
		}
	}
	if !strings.HasPrefix(p.Name, "kv_") {
		return nil
	}
	for _, f := range p.signed(e) {
		if strings.ContainsAny(f.Name, "&=") {
			return Malformedf("the name of field %q holds & or =, so that its signed text can be read in two ways", Cut(f.Name, 40))
		}
		for _, part := range strings.Split(f.Value, "&")[1:] {
			name, _, pair := strings.Cut(part, "=")
			if pair && (strings.EqualFold(name, "data") || status != "" && strings.EqualFold(name, status)) {
				return Malformedf("field %q holds &%s=, so that its signed text can be read in two ways", Cut(f.Name, 40), name)
			}
		}
	}
	return nil
}
