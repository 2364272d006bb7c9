package message

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"jdpay-listener/internal/check"
)

// minKeyLength is the number of characters below which a signing key gets a warning.
const minKeyLength = 16

// Check returns what is wrong with the rules: forged messages would be accepted, or no payment would.
func (r Rules) Check() (faults check.Faults) {
	checkKeys(&faults, "Keys", r.Keys)
	checkKeys(&faults, "ReplyKeys", r.ReplyKeys)
	r.Profile.check(&faults, r.Format.StatusField)
	switch status := r.Format.StatusField; {
	case status != "" && len(r.Success) == 0:
		faults.Add("Success", "empty while the status field is set, so every payment with a status would be parked", "list the statuses that mean paid")
	case status == "" && len(r.Success) > 0:
		faults.Warn("Success", "has no effect without the status field")
	}
	return faults
}

func checkKeys(faults *check.Faults, option string, keys []string) {
	if slices.ContainsFunc(keys, func(key string) bool { return strings.TrimSpace(key) == "" }) {
		faults.Add(option, "an empty key would accept forged messages", "remove it or give the key")
		return
	}
	if slices.ContainsFunc(keys, func(key string) bool { return utf8.RuneCountInString(key) < minKeyLength }) {
		faults.Warn(option, fmt.Sprintf("a key is shorter than %d characters: it can be found by trying, from one captured message; ask for a longer one", minKeyLength))
	}
}

// Validate returns an error if the profile is unknown or leaves data, and so the payment, unsigned.
func (p Profile) Validate() error {
	var faults check.Faults
	p.check(&faults, "")
	return faults.Err("the signature profile")
}

// check adds the faults of a profile. The fields that decide over a payment must be signed: data, and the status field
// (empty: none).
func (p Profile) check(faults *check.Faults, status string) {
	if !slices.Contains(Profiles, p.Name) {
		faults.Add("Profile.Name", "unknown", "use one of "+strings.Join(Profiles, ", "))
		return
	}
	if p.dataOnly() {
		if status != "" {
			faults.Warn("StatusField", p.Name+" signs only data: a payment that does not have the field inside of data is parked as not_success")
		}
		return
	}
	for _, field := range []struct{ name, risk string }{
		{"data", "so anybody could alter a payment"},
		{status, "so anybody could turn a failed payment into a successful one"},
	} {
		if field.name == "" {
			continue
		}
		if containsFold(p.Exclude, field.name) {
			faults.Add("Profile.Exclude", "leaves "+field.name+" unsigned, "+field.risk, "remove "+field.name+" from the list")
		}
		if len(p.Include) > 0 && !containsFold(p.Include, field.name) {
			faults.Add("Profile.Include", "leaves "+field.name+" unsigned, "+field.risk, "add "+field.name+" to the list")
		}
	}
	notData := func(name string) bool { return !strings.EqualFold(name, "data") }
	if !strings.HasPrefix(p.Name, "kv_") && (len(p.Include) == 0 || slices.ContainsFunc(p.Include, notData)) {
		faults.Warn("Profile.Name", p.Name+" does not mark where a field begins: if one that is signed beside data holds a text that others choose, such as a payer, "+
			"that text can be passed off as another payment; ask JD for a kv_ profile, or have only data signed")
	}
}
