package inspect

import (
	"slices"
	"strings"

	"jdpay-listener/internal/device"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/message"
	"jdpay-listener/internal/payment"
)

// Inspection is what can be found out about a message without the databases.
type Inspection struct {
	Accepted bool         `json:"accepted"`
	Problem  lang.Message `json:"problem,omitzero"` // why it would not be accepted

	Form    string          `json:"form,omitempty"` // see message.Envelope
	Fields  []message.Field `json:"fields,omitempty"`
	Profile string          `json:"profile,omitempty"`
	Hashed  string          `json:"hashed,omitempty"` // the text that is hashed, with *** for the key
	Given   string          `json:"given,omitempty"`  // the signature in the message
	// KeyMatches says for each configured key whether it results in that signature.
	KeyMatches []bool   `json:"key_matches,omitempty"`
	Matches    []string `json:"matches"` // the profiles with which one of the keys results in the signature

	Payload      string                `json:"payload,omitempty"` // decoded data
	Notification *message.Notification `json:"notification,omitempty"`
	Amount       string                `json:"amount,omitempty"` // yuan
}

// Message inspects a message as the daemon does, but continues after a failed check to find out more. If replyRules is not
// nil the message is one of the sync-reply queue, where cabinets' replies are accepted, too.
func Message(r message.Rules, replyRules *payment.ReplyRules, body string) Inspection {
	in := Inspection{Matches: []string{}}
	fail := func(err error) {
		if in.Problem.IsZero() {
			in.Problem = lang.ErrorMessage(err)
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
	if replyRules != nil && !p.IsPayment() {
		if err := replyRules.Complete(p); err != nil {
			fail(err)
		}
		if _, ownID := device.ParseMessageID(p.Get(replyRules.MessageID)); ownID && replyRules.RequireDevice && p.Get(replyRules.Device) == "" {
			fail(lang.Errorf("%s: a reply without %s does not count (SyncReply:RequireDevice)", payment.ReplyForeign, replyRules.Device))
		}
		in.Accepted = in.Problem.IsZero()
		return in
	}
	n, err := r.Notification(env, p)
	if err != nil {
		fail(err)
		return in
	}
	in.Notification, in.Amount = &n, n.Amount.String()
	if err := r.CheckStatus(n); err != nil {
		fail(lang.Errorf("%s: %s", payment.NotSuccess, err))
	}
	in.Accepted = in.Problem.IsZero()
	return in
}

// Signatures returns the signatures that the message should have, one for each key, or none if it cannot be decoded. With
// them anybody can send the message as a genuine one, so they are not part of an Inspection.
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

// describe returns a profile's name and the settings of its options that are not the default.
func describe(p message.Profile) string {
	var options []string
	if !p.SkipEmpty {
		options = append(options, "JDPay:SkipEmpty=false")
	}
	if p.CaseInsensitiveSort {
		options = append(options, "JDPay:CaseInsensitiveSort=true")
	}
	if p.TrimValues {
		options = append(options, "JDPay:TrimValues=true")
	}
	if len(p.Include) > 0 {
		options = append(options, "JDPay:Include="+strings.Join(p.Include, ","))
	}
	if exclude := slices.DeleteFunc(slices.Clone(p.Exclude), func(s string) bool { return strings.EqualFold(s, "sign") }); len(exclude) > 0 {
		options = append(options, "JDPay:Exclude=sign,"+strings.Join(exclude, ","))
	}
	if len(options) == 0 {
		return p.Name
	}
	return p.Name + " (" + strings.Join(options, ", ") + ")"
}

// matching returns the profiles with which one of the keys results in the envelope's signature: the configured one first,
// then the others with its options, then all others, those with fewer fields left out and values as they are first. Of profiles that
// hash the same text only the first is returned.
func matching(p message.Profile, e message.Envelope, keys []string) (names []string) {
	variants := []message.Profile{p}
	choices := []message.Profile{p}
	for _, exclude := range exclusions(e) {
		choices = append(choices, message.Profile{Exclude: exclude})
	}
	for _, trim := range []bool{false, true} {
		for _, fields := range choices {
			for _, skip := range []bool{true, false} {
				for _, fold := range []bool{false, true} {
					variants = append(variants, message.Profile{SkipEmpty: skip, CaseInsensitiveSort: fold, TrimValues: trim, Include: fields.Include, Exclude: fields.Exclude})
				}
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

// exclusions returns lists of fields that JD's products leave unsigned: the names of algorithms, and fields of nothing but white
// space. Only fields that the envelope has are in them.
func exclusions(e message.Envelope) [][]string {
	var signType, encType, blank []string
	for _, f := range e.Fields {
		switch strings.ReplaceAll(strings.ToLower(f.Name), "_", "") {
		case "signtype", "signmethod":
			signType = append(signType, f.Name)
		case "enctype", "encrypttype":
			encType = append(encType, f.Name)
		}
		if f.Value != "" && strings.TrimSpace(f.Value) == "" {
			blank = append(blank, f.Name)
		}
	}
	lists := [][]string{{"sign"}}
	for _, some := range [][]string{signType, encType, blank} {
		if len(some) == 0 {
			continue
		}
		for _, list := range slices.Clone(lists) {
			lists = append(lists, slices.Concat(list, some))
		}
	}
	return lists
}
