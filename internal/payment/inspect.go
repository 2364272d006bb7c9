package payment

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"jdpay-listener/internal/device"
)

// Inspection is everything there is to say about one message without looking at any order.
type Inspection struct {
	Accepted bool   `json:"accepted"`
	Problem  string `json:"problem,omitempty"` // why it would not be accepted

	Form    string  `json:"form,omitempty"` // how the body carries the envelope
	Fields  []Field `json:"fields,omitempty"`
	Profile string  `json:"profile,omitempty"`
	Hashed  string  `json:"hashed,omitempty"` // the text that is hashed, with *** for the key
	Given   string  `json:"given,omitempty"`  // the signature that the message carries
	// KeyMatches says of each configured key whether it gives that signature.
	KeyMatches []bool   `json:"key_matches,omitempty"`
	Matches    []string `json:"matches"` // the profiles with which one of the keys gives the signature

	Payload      string        `json:"payload,omitempty"` // decoded data
	Notification *Notification `json:"notification,omitempty"`
	Amount       string        `json:"amount,omitempty"` // yuan
}

// Inspect looks at a message as the daemon would, and goes on where the daemon would stop, to say what is wrong. With
// reply, the message comes from the sync-reply queue: a cabinet's reply is accepted from there, too, with that queue's
// keys.
func (r Rules) Inspect(body string, reply *ReplyRules) Inspection {
	in := Inspection{Matches: []string{}}
	fail := func(err error) {
		if in.Problem == "" {
			in.Problem = err.Error()
		}
	}
	env, err := ParseEnvelope(body, r.BodyEncoding)
	if err != nil {
		fail(err)
		return in
	}
	in.Form = form(body, r.BodyEncoding)
	in.Fields = slices.SortedFunc(slices.Values(env.Fields), func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	in.Profile, in.Given = r.Profile.describe(), env.Sign
	in.Hashed = r.Profile.Text(env, "***")
	if err := r.Profile.Unambiguous(env, r.Format.StatusField); err != nil {
		fail(err)
	}
	p, unreadable := decodePayload(env.Data)
	keys := r.keysOf(p, reply)
	for _, key := range keys {
		in.KeyMatches = append(in.KeyMatches, r.Profile.Verify(env, []string{key}) == nil)
	}
	in.Matches = append(in.Matches, r.Profile.matching(env, keys)...)
	if err := r.Profile.Verify(env, keys); err != nil {
		fail(err)
	}
	if unreadable != nil {
		fail(unreadable)
		return in
	}
	in.Payload = string(p.text)
	if reply != nil && !p.isPayment() {
		if err := reply.complete(p); err != nil {
			fail(err)
		}
		if _, ours := device.ParseMessageID(p.get(reply.MessageID)); ours && reply.RequireDevice && p.get(reply.Device) == "" {
			fail(fmt.Errorf("%s: a reply without %s does not count (SyncReply:RequireDevice)", ReplyForeign, reply.Device))
		}
		in.Accepted = in.Problem == ""
		return in
	}
	n, err := r.notification(p, env)
	if err != nil {
		fail(err)
		return in
	}
	in.Notification, in.Amount = &n, n.Amount.String()
	if err := r.success(n); err != nil {
		fail(fmt.Errorf("%s: %w", NotSuccess, err))
	}
	in.Accepted = in.Problem == ""
	return in
}

// Signatures are the signatures that the message should carry, one for each key. Whoever is shown them can send the
// message as a genuine one, so Inspect does not hold them. They are empty if the message cannot be read.
func (r Rules) Signatures(body string, reply *ReplyRules) (signs []string) {
	env, err := ParseEnvelope(body, r.BodyEncoding)
	if err != nil {
		return nil
	}
	p, _ := decodePayload(env.Data)
	for _, key := range r.keysOf(p, reply) {
		signs = append(signs, r.Profile.Sign(env, key))
	}
	return signs
}

// form says how a body that can be read carries the envelope.
func form(body string, enc BodyEncoding) string {
	body = strings.TrimSpace(strings.TrimPrefix(body, "\ufeff"))
	if enc == BodyBase64 || enc == BodyAuto && body[0] != '{' {
		if text, err := decodeBase64(body); err == nil && utf8.Valid(text) {
			return "base64 of " + form(string(text), BodyRaw)
		}
	}
	if body[0] != '{' {
		return "form fields"
	}
	if o, err := readObject([]byte(body)); err == nil {
		if inner, ok := topicMessage(o); ok {
			return "a topic's wrapper around " + form(inner, BodyAuto)
		}
	}
	return "JSON"
}

// describe names a profile with the options that are not the usual ones.
func (p SignProfile) describe() string {
	var options []string
	if !p.SkipEmpty {
		options = append(options, "SkipEmpty=false")
	}
	if p.CaseInsensitiveSort {
		options = append(options, "CaseInsensitiveSort=true")
	}
	if len(p.Include) > 0 {
		options = append(options, "Include="+strings.Join(p.Include, ","))
	}
	if exclude := slices.DeleteFunc(slices.Clone(p.Exclude), func(s string) bool { return strings.EqualFold(s, "sign") }); len(exclude) > 0 {
		options = append(options, "Exclude="+strings.Join(exclude, ","))
	}
	if len(options) == 0 {
		return p.Name
	}
	return p.Name + " (" + strings.Join(options, ", ") + ")"
}

// matching finds the profiles with which one of the keys gives the envelope's signature: the configured one first, then
// the others with its options, then all others. Of profiles that hash the same text only the first is told.
func (p SignProfile) matching(e Envelope, keys []string) (names []string) {
	variants := []SignProfile{p}
	for _, fields := range []SignProfile{p, {Exclude: []string{"sign"}}} {
		for _, skip := range []bool{true, false} {
			for _, fold := range []bool{false, true} {
				variants = append(variants, SignProfile{SkipEmpty: skip, CaseInsensitiveSort: fold, Include: fields.Include, Exclude: fields.Exclude})
			}
		}
	}
	seen := map[string]bool{}
	profiles := append([]string{p.Name}, SignProfiles...)
	for _, v := range variants {
		for _, v.Name = range profiles {
			text := v.Text(e, "***")
			if !seen[text] && v.Validate() == nil && v.Verify(e, keys) == nil {
				names = append(names, v.describe())
				seen[text] = true
			}
		}
	}
	return names
}
