package message

import (
	"fmt"
	"slices"
	"strings"
)

// SentBy is the payload field with which the command send marks what it sends.
const SentBy = "sentBy"

// Rules are what the configuration fixes about genuine messages.
type Rules struct {
	Keys []string // MD5 keys; several while a key is rotated
	// ReplyKeys are for the sync-reply queue: what is no payment must be signed with one of them. Empty: with one of Keys.
	ReplyKeys    []string
	Profile      Profile
	BodyEncoding BodyEncoding
	Format       Format
	Success      []string // accepted values of Format.StatusField
}

// Open reads a message body up to its payload and makes sure that it is genuine: the error is an ErrMalformed or
// ErrBadSignature. With ErrBadSignature the payload is returned for the order that it names, and nothing in it is to be
// trusted.
func (r Rules) Open(body string) (Envelope, Payload, error) {
	env, err := ParseEnvelope(body, r.BodyEncoding)
	if err == nil {
		err = r.Profile.Unambiguous(env, r.Format.StatusField)
	}
	if err != nil {
		return env, Payload{}, err
	}
	// Which keys count depends on what the payload claims to be; nothing else is done with it before one of them has
	// verified it.
	p, unreadable := DecodePayload(env.Data)
	if err := r.Profile.Verify(env, r.KeysOf(p)); err != nil {
		return env, p, err
	}
	return env, p, unreadable
}

// KeysOf are the keys with which a message must be signed, by what its payload claims to be. Whoever holds the cabinets'
// keys can so speak for cabinets, and not for JD.
func (r Rules) KeysOf(p Payload) []string {
	if len(r.ReplyKeys) == 0 || p.IsPayment() {
		return r.Keys
	}
	return r.ReplyKeys
}

// Notification reads the payload of a verified message. A status that stands in the envelope counts only if it is signed
// there. Every error is an ErrMalformed that names the field.
func (r Rules) Notification(e Envelope, p Payload) (Notification, error) {
	n, err := r.Format.notification(p)
	if field := r.Format.StatusField; field != "" && n.Status == "" && r.Profile.signs(field) {
		n.Status = strings.TrimSpace(e.Get(field))
	}
	return n, err
}

// CheckStatus returns why a notification, by its status, is not one of a successful payment. A message without a status
// is taken for one, unless whoever passed it on could have removed the status from the envelope.
func (r Rules) CheckStatus(n Notification) error {
	field := r.Format.StatusField
	switch {
	case field == "" || slices.Contains(r.Success, n.Status):
		return nil
	case n.Status != "":
		return fmt.Errorf("%s is %q, which is not one of Payment:SuccessStatuses", field, Cut(n.Status, 40))
	case !r.Profile.signs(field):
		return fmt.Errorf("%s is not in data, and in the envelope it is not signed (JDPay:SignProfile %s): it is not trusted there", field, r.Profile.Name)
	}
	return nil
}
