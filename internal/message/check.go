package message

import (
	"slices"
	"strings"
	"unicode/utf8"

	"jdpay-listener/internal/check"
	"jdpay-listener/internal/lang"
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
		faults.Add("Success", lang.M("empty while the status field is set, so every payment with a status would be parked"), lang.M("list the statuses that mean paid"))
	case status == "" && len(r.Success) > 0:
		faults.Warn("Success", lang.M("has no effect without the status field"))
	}
	return faults
}

func checkKeys(faults *check.Faults, option string, keys []string) {
	if slices.ContainsFunc(keys, func(key string) bool { return strings.TrimSpace(key) == "" }) {
		faults.Add(option, lang.M("an empty key would accept forged messages"), lang.M("remove it or give the key"))
		return
	}
	if slices.ContainsFunc(keys, func(key string) bool { return utf8.RuneCountInString(key) < minKeyLength }) {
		faults.Warn(option, lang.M("a key is shorter than %d characters: it can be found by trying, from one captured message; ask for a longer one", minKeyLength))
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
		faults.Add("Profile.Name", lang.M("unknown"), lang.M("use one of %s", strings.Join(Profiles, ", ")))
		return
	}
	if p.dataOnly() {
		if status != "" {
			faults.Warn("StatusField", lang.M("%s signs only data: a payment that does not have the field inside of data is parked as not_success", p.Name))
		}
		return
	}
	for _, field := range []struct {
		name string
		risk lang.Message
	}{
		{"data", lang.M("so anybody could alter a payment")},
		{status, lang.M("so anybody could turn a failed payment into a successful one")},
	} {
		if field.name == "" {
			continue
		}
		if containsFold(p.Exclude, field.name) {
			faults.Add("Profile.Exclude", lang.M("leaves %s unsigned, %s", field.name, field.risk), lang.M("remove %s from the list", field.name))
		}
		if len(p.Include) > 0 && !containsFold(p.Include, field.name) {
			faults.Add("Profile.Include", lang.M("leaves %s unsigned, %s", field.name, field.risk), lang.M("add %s to the list", field.name))
		}
	}
	notData := func(name string) bool { return !strings.EqualFold(name, "data") }
	if !strings.HasPrefix(p.Name, "kv_") && (len(p.Include) == 0 || slices.ContainsFunc(p.Include, notData)) {
		faults.Warn("Profile.Name", lang.M("%s does not mark where a field begins: if one that is signed beside data holds a text that others choose, such as a payer, "+
			"that text can be passed off as another payment; ask JD for a kv_ profile, or have only data signed", p.Name))
	}
}
