package config

import (
	"slices"
	"strings"

	"jdpay-listener/internal/check"
	"jdpay-listener/internal/lang"
)

// foreignSections are top-level keys of .NET hosts and of the libraries that their programs share a file with. They are
// not ours and are ignored without a word, as in .NET.
var foreignSections = []string{
	"$schema", "AllowedHosts", "ApplicationInsights", "ApplicationName", "Certificates", "ContentRoot", "DetailedErrors", "Environment",
	"Hangfire", "Http_Ports", "Https_Port", "Https_Ports", "HttpSys", "iisSettings", "Kestrel", "log4net", "NLog", "profiles",
	"Serilog", "Urls", "WebRoot",
}

// isForeign reports whether a key is known to be another program's: a section of .NET's hosts, a log provider
// (Logging:Console:…), a log category (Logging:LogLevel:Microsoft) or another database's connection string.
func isForeign(key string) bool {
	words := strings.Split(key, ":")
	section := func(name string) bool { return strings.EqualFold(words[0], name) }
	switch {
	case slices.ContainsFunc(foreignSections, section):
		return true
	case section("Logging") && len(words) > 2:
		if _, near := check.Distance(words[1], "LogLevel"); !near {
			return true // a provider's own levels
		}
		return nearestKey(key) == ""
	case section("ConnectionStrings"):
		return nearestKey(key) == ""
	}
	return strings.EqualFold(key, "Logging:IncludeScopes")
}

// unknown returns the warnings about keys that nothing has read. Those of another program's section are one warning.
func (b *binder) unknown() []lang.Message {
	var warnings []lang.Message
	said := map[string]bool{}
	for _, path := range sortedKeys(b.left) {
		e := b.left[path]
		key := e.given()
		if isForeign(key) {
			continue
		}
		section, _, nested := strings.Cut(key, ":")
		nearest := nearestKey(key)
		switch {
		case nearest != "":
			warnings = append(warnings, lang.M("unknown key %s (%s); the nearest known one is %s", key, e.Source, nearest))
		case !nested || isOwnSection(section):
			warnings = append(warnings, lang.M("unknown key %s (%s); it is ignored", key, e.Source))
		case !said[strings.ToLower(section)]:
			said[strings.ToLower(section)] = true
			warnings = append(warnings, lang.M("unknown section %s (%s, %s); it is ignored", section, key, e.Source))
		}
	}
	return warnings
}

// isOwnSection reports whether a top-level name is a section of the configuration.
func isOwnSection(name string) bool {
	return slices.ContainsFunc(append(sections(), legacySection), func(s string) bool { return strings.EqualFold(s, name) })
}

// nearestKey returns the known key that is spelled most like key, or an empty text if none is near. Only the words in which
// both differ are compared: a common section makes nothing alike.
func nearestKey(key string) string {
	best, least := "", -1
	for _, k := range knownKeys {
		spelling := k.fill(key)
		if strings.HasSuffix(spelling, "{n}") {
			continue
		}
		if d, near := keyDistance(key, spelling); near && (least < 0 || d < least) {
			best, least = spelling, d
		}
	}
	return best
}

// keyDistance is the distance of the words in which two keys differ. Keys of which one continues the other are near.
func keyDistance(key, known string) (int, bool) {
	words, others := strings.Split(key, ":"), strings.Split(known, ":")
	section := strings.EqualFold(words[0], others[0])
	for len(words) > 0 && len(others) > 0 && strings.EqualFold(words[0], others[0]) {
		words, others = words[1:], others[1:]
	}
	if len(words) == 0 || len(others) == 0 {
		return len(strings.Join(append(words, others...), ":")), true
	}
	for len(words) > 0 && len(others) > 0 && strings.EqualFold(words[len(words)-1], others[len(others)-1]) {
		words, others = words[:len(words)-1], others[:len(others)-1]
	}
	word, other := strings.Join(words, ":"), strings.Join(others, ":")
	d, near := check.Distance(word, other)
	switch {
	case other == "": // the known key in a section too many
		near = true
	case word == "":
		near = section
	}
	return d, near
}
