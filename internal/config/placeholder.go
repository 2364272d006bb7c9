package config

import (
	"reflect"
	"slices"
	"strings"

	"jdpay-listener/internal/lang"
)

// samples are texts that stand for a secret in sample files. Everybody who knows the sample could sign with such a key.
var samples = []string{"change-me", "change_me", "changeme", "change me", "replace-me", "replace_me", "replaceme", "replace me", "placeholder"}

// isPlaceholder reports whether a text only stands for a secret: a sample's value, <key>, … or xxx.
func isPlaceholder(text string) bool {
	text = strings.ToLower(strings.TrimSpace(text))
	switch {
	case text == "":
		return false
	case slices.Contains(samples, text), strings.HasPrefix(text, "<") && strings.HasSuffix(text, ">"):
		return true
	case strings.Trim(text, "…") == "":
		return true
	}
	return len(text) >= 3 && (strings.Trim(text, "x") == "" || strings.Trim(text, "*.…") == "")
}

// placeholders adds a fault for each secret that is a placeholder.
func (l *Loaded) placeholders() {
	for _, o := range l.Config.options() {
		for _, e := range o.expand() {
			if !e.isSecret() || l.Source(e.Key) == "JDPay:Md5Key" {
				continue
			}
			if slices.ContainsFunc(secretsOf(e.Value), func(s Secret) bool { return isPlaceholder(s.Reveal()) }) {
				l.Fault(e.Key, lang.M("a placeholder, which everybody knows"), lang.M("give the secret itself, there or as %s", variableName(e.Key)))
			}
		}
	}
}

// secretsOf are the secrets of a value: one, or a list of them.
func secretsOf(value reflect.Value) []Secret {
	switch s := value.Interface().(type) {
	case Secret:
		return []Secret{s}
	case []Secret:
		return s
	}
	return nil
}
