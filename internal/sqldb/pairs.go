package sqldb

import (
	"fmt"
	"strings"
)

// splitPairs splits an ADO.NET connection string, Key=Value;Key=Value, in the order given. A value may stand in ' or "
// quotes, which it may then contain doubled; spaces around keys and unquoted values do not count. Keys come back in the
// form of plainKey. Errors say which part is wrong by its position and never quote it.
func splitPairs(s string) ([][2]string, error) {
	var pairs [][2]string
	for part := 1; ; part++ {
		s = strings.TrimLeft(s, " \t\r\n;")
		if s == "" {
			return pairs, nil
		}
		key, rest, ok := strings.Cut(s, "=")
		if !ok || strings.Contains(key, ";") {
			return nil, fmt.Errorf("its part %d has no =", part)
		}
		value := ""
		rest = strings.TrimLeft(rest, " \t\r\n")
		if rest != "" && (rest[0] == '\'' || rest[0] == '"') {
			if value, rest, ok = unquote(rest); !ok {
				return nil, fmt.Errorf("the quote in its part %d is not closed", part)
			}
			rest = strings.TrimLeft(rest, " \t\r\n")
			if rest != "" && rest[0] != ';' {
				return nil, fmt.Errorf("text follows the closing quote in its part %d", part)
			}
		} else {
			value, rest, _ = strings.Cut(rest, ";")
			value = strings.TrimSpace(value)
		}
		pairs = append(pairs, [2]string{plainKey(key), value})
		s = rest
	}
}

// unquote reads the quoted text s begins with and returns what follows it.
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

// plainKey is a key without what its spellings differ in: case, spaces, hyphens and underscores.
func plainKey(key string) string {
	return strings.ToLower(strings.NewReplacer(" ", "", "-", "", "_", "", "\t", "").Replace(strings.TrimSpace(key)))
}
