package inspect

import (
	"fmt"
	"slices"
	"strings"

	"jdpay-listener/internal/device"
	"jdpay-listener/internal/message"
	"jdpay-listener/internal/payment"
)

// Inspection is everything there is to say about one message without looking at any order.
type Inspection struct {
	Accepted bool   `json:"accepted"`
	Problem  string `json:"problem,omitempty"` // why it would not be accepted

	Form    string          `json:"form,omitempty"` // how the body carries the envelope
	Fields  []message.Field `json:"fields,omitempty"`
	Profile string          `json:"profile,omitempty"`
	Hashed  string          `json:"hashed,omitempty"` // the text that is hashed, with *** for the key
	Given   string          `json:"given,omitempty"`  // the signature that the message carries
	// KeyMatches says of each configured key whether it gives that signature.
	KeyMatches []bool   `json:"key_matches,omitempty"`
	Matches    []string `json:"matches"` // the profiles with which one of the keys gives the signature

	Payload      string                `json:"payload,omitempty"` // decoded data
	Notification *message.Notification `json:"notification,omitempty"`
	Amount       string                `json:"amount,omitempty"` // yuan
}

// Message looks at a message as the daemon would, and goes on where the daemon would stop, to say what is wrong. With
// reply, the message comes from the sync-reply queue: a cabinet's reply is accepted from there, too.
func Message(r message.Rules, reply *payment.ReplyRules, body string) Inspection {
	in := Inspection{Matches: []string{}}
	fail := func(err error) {
		if in.Problem == "" {
			in.Problem = err.Error()
		}
	}
	env, err := message.ParseEnvelope(body, r.BodyEncoding)
	if err != nil {
		fail(err)
		return in
	}
	in.Form = env.Form
	in.Fields = slices.SortedFunc(slices.Values(env.Fields), func(a, b message.Field) int { return strings.Compare(a.Name, b.Name) })
	in.Profile, in.Given = describe(r.Profile), env.Sign
	in.Hashed = r.Profile.Text(env, "***")
	if err := r.Profile.Unambiguous(env, r.Format.StatusField); err != nil {
		fail(err)
	}
	p, unreadable := message.DecodePayload(env.Data)
	keys := r.KeysOf(p)
	for _, key := range keys {
		in.KeyMatches = append(in.KeyMatches, r.Profile.Verify(env, []string{key}) == nil)
	}
	in.Matches = append(in.Matches, matching(r.Profile, env, keys)...)
	if err := r.Profile.Verify(env, keys); err != nil {
		fail(err)
	}
	if unreadable != nil {
		fail(unreadable)
		return in
	}
	in.Payload = string(p.Text)
	if reply != nil && !p.IsPayment() {
		if err := reply.Complete(p); err != nil {
			fail(err)
		}
		if _, ours := device.ParseMessageID(p.Get(reply.MessageID)); ours && reply.RequireDevice && p.Get(reply.Device) == "" {
			fail(fmt.Errorf("%s: a reply without %s does not count (SyncReply:RequireDevice)", payment.ReplyForeign, reply.Device))
		}
		in.Accepted = in.Problem == ""
		return in
	}
	n, err := r.Notification(env, p)
	if err != nil {
		fail(err)
		return in
	}
	in.Notification, in.Amount = &n, n.Amount.String()
	if err := r.CheckStatus(n); err != nil {
		fail(fmt.Errorf("%s: %w", payment.NotSuccess, err))
	}
	in.Accepted = in.Problem == ""
	return in
}

// Signatures are the signatures that the message should carry, one for each key. Whoever is shown them can send the
// message as a genuine one, so an Inspection does not hold them. They are empty if the message cannot be read.
func Signatures(r message.Rules, body string) (signs []string) {
	env, err := message.ParseEnvelope(body, r.BodyEncoding)
	if err != nil {
		return nil
	}
	p, _ := message.DecodePayload(env.Data)
	for _, key := range r.KeysOf(p) {
		signs = append(signs, r.Profile.Sign(env, key))
	}
	return signs
}

// describe names a profile with the options that are not the usual ones.
func describe(p message.Profile) string {
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
func matching(p message.Profile, e message.Envelope, keys []string) (names []string) {
	variants := []message.Profile{p}
	for _, fields := range []message.Profile{p, {Exclude: []string{"sign"}}} {
		for _, skip := range []bool{true, false} {
			for _, fold := range []bool{false, true} {
				variants = append(variants, message.Profile{SkipEmpty: skip, CaseInsensitiveSort: fold, Include: fields.Include, Exclude: fields.Exclude})
			}
		}
	}
	seen := map[string]bool{}
	profiles := append([]string{p.Name}, message.Profiles...)
	for _, v := range variants {
		for _, v.Name = range profiles {
			text := v.Text(e, "***")
			if !seen[text] && v.Validate() == nil && v.Verify(e, keys) == nil {
				names = append(names, describe(v))
				seen[text] = true
			}
		}
	}
	return names
}
