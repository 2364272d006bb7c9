package sqldb

import (
	"strings"

	"jdpay-listener/internal/lang"
)

// splitPairs splits an ADO.NET connection string, Key=Value;Key=Value, in the order given. A value may stand in ' or "
// quotes and contain that quote doubled; spaces around keys and unquoted values are ignored. Keys are returned in the form
// of normalizeKey. Errors name a part by its position and never quote it.
func splitPairs(s string) ([][2]string, error) {
	var pairs [][2]string
	for part := 1; ; part++ {
		s = strings.TrimLeft(s, " \t\r\n;")
		if s == "" {
			return pairs, nil
		}
		key, rest, ok := strings.Cut(s, "=")
		if !ok || strings.Contains(key, ";") {
			return nil, lang.Errorf("its part %d has no =", part)
		}
		value := ""
		rest = strings.TrimLeft(rest, " \t\r\n")
		if rest != "" && (rest[0] == '\'' || rest[0] == '"') {
			if value, rest, ok = unquote(rest); !ok {
				return nil, lang.Errorf("the quote in its part %d is not closed", part)
			}
			rest = strings.TrimLeft(rest, " \t\r\n")
			if rest != "" && rest[0] != ';' {
				return nil, lang.Errorf("text follows the closing quote in its part %d", part)
			}
		} else {
			value, rest, _ = strings.Cut(rest, ";")
			value = strings.TrimSpace(value)
		}
		pairs = append(pairs, [2]string{normalizeKey(key), value})
		s = rest
	}
}

// unquote reads the quoted text at the start of s and returns what follows it.
func unquote(s string) (value, rest string, closed bool) {
	quote := s[:1]
	var b strings.Builder
	for s = s[1:]; ; {
		text, after, found := strings.Cut(s, quote)
		b.WriteString(text)
		if !found {
			return "", "", false
		}
		if !strings.HasPrefix(after, quote) {
			return b.String(), after, true
		}
		b.WriteString(quote)
		s = after[1:]
	}
}

// normalizeKey returns a key in lower case without spaces, hyphens and underscores.
func normalizeKey(key string) string {
	return strings.ToLower(strings.NewReplacer(" ", "", "-", "", "_", "", "\t", "").Replace(strings.TrimSpace(key)))
}
