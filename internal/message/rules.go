package message

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// SentBy is the payload field with which the command send marks its messages.
const SentBy = "sentBy"

// Rules are the configured rules for genuine messages.
type Rules struct {
	Keys []string // MD5 keys; several while a key is rotated
	// ReplyKeys are for the sync-reply queue: replies must be signed with one of them. Empty: with one of Keys.
	ReplyKeys    []string
	Profile      Profile
	BodyEncoding BodyEncoding
	Format       Format
	Success      []string // values of Format.StatusField that mean paid
}

// Open decodes a message body and verifies its signature. The error is an ErrMalformed or ErrBadSignature. With
// ErrBadSignature the payload is returned, too, for its order number; it must not be trusted. With ErrMalformed the envelope says
// whether one of the keys signed the message: then it is lost unless a person reads it.
func (r Rules) Open(body string) (Envelope, Payload, error) {
	env, err := ParseEnvelope(body, r.BodyEncoding)
	if err != nil {
		return env, Payload{}, err
	}
	ambiguous := r.Profile.Unambiguous(env, r.Format.StatusField)
	// The payload decides which keys must verify it; it is used for nothing else before that.
	p, unreadable := DecodePayload(env.Data)
	err = r.Profile.Verify(env, r.KeysOf(p))
	env.Signed = err == nil
	if halfPayment := (p.Get("orderNo") == "") != (p.Get("payAmount") == ""); !env.Signed && (unreadable != nil || halfPayment) && r.Profile.Verify(env, r.Keys) == nil {
		env.Signed = true
		err = cmp.Or(unreadable, Malformedf("a key for payments signed it, and orderNo or payAmount is missing"))
	}
	if ambiguous != nil {
		return env, Payload{}, ambiguous
	}
	return env, p, cmp.Or(err, unreadable)
}

// ReadUnverified decodes a message body without verifying it: for messages that were verified before, and for showing what a
// message says. The error is an ErrMalformed.
func ReadUnverified(body string, enc BodyEncoding) (Envelope, Payload, error) {
	env, err := ParseEnvelope(body, enc)
	if err != nil {
		return env, Payload{}, err
	}
	p, err := DecodePayload(env.Data)
	return env, p, err
}

// KeysOf returns the keys with which a payload must be signed. Those of the cabinets sign replies, and no payments.
func (r Rules) KeysOf(p Payload) []string {
	if len(r.ReplyKeys) == 0 || p.IsPayment() {
		return r.Keys
	}
	return r.ReplyKeys
}

// Notification reads the payload of a verified message. A status in the envelope is read only if it is signed. Every error
// is an ErrMalformed that names the field.
func (r Rules) Notification(e Envelope, p Payload) (Notification, error) {
	n, err := r.Format.notification(p)
	if field := r.Format.StatusField; field != "" && n.Status == "" && r.Profile.signs(field) {
		n.Status = strings.TrimSpace(e.Get(field))
	}
	return n, err
}

// CheckStatus returns an error if a notification's status does not mean paid. A notification without a status is accepted,
// unless the status may have been removed from the envelope, where it is not signed.
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

// Ungated returns the fields of a message that may say that it is no successful payment, if no status field is configured: a
// status, a trade type that means refund, and the fields of a refund.
func (r Rules) Ungated(e Envelope, p Payload) (suspicious []Field) {
	if r.Format.StatusField != "" {
		return nil
	}
	look := func(name, value string) {
		value = strings.TrimSpace(value)
		if lower := strings.ReplaceAll(strings.ToLower(name), "_", ""); value != "" && isGate(lower, value) {
			suspicious = append(suspicious, Field{name, value})
		}
	}
	for name, value := range p.fields {
		look(name, value)
	}
	for _, f := range e.Fields {
		look(f.Name, f.Value)
	}
	return suspicious
}

// isGate reports whether a field, of which the name is in lower case and without _, may say that there is no payment.
func isGate(name, value string) bool {
	switch name {
	case "status", "paystatus", "tradestatus", "orderstatus", "state", "paystate", "tradestate":
		return true
	case "tradetype", "transtype", "biztype", "businesstype":
		return name == "tradetype" && value == "1" || strings.Contains(strings.ToLower(value), "refund") || strings.Contains(value, "退")
	}
	return strings.Contains(name, "refund") && strings.Trim(value, "0.") != ""
}
