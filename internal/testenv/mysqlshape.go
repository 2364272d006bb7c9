package testenv

import (
	"slices"
	"strings"
)

// Shape is a statement without its values: all statements that one line of a program sends have the same shape, whatever
// their arguments and their number.
type Shape struct {
	// Tx is verb and table of the first statement of its transaction; empty outside of transactions, and for the first
	// statement itself.
	Tx   string
	Text string
}

// String is the shape with its transaction.
func (s Shape) String() string {
	if s.Tx == "" {
		return s.Text
	}
	return "[" + s.Tx + "] " + s.Text
}

// subject is verb and table of a statement; it names the transaction that begins with it.
func (s Shape) subject() string {
	words := strings.Fields(s.Text)
	for i, w := range words[:max(len(words)-1, 0)] {
		switch w {
		case "FROM", "INTO":
			return words[0] + " " + words[i+1]
		case "UPDATE":
			if i == 0 {
				return words[0] + " " + words[1]
			}
		}
	}
	return words[0]
}

// shapeText removes the values of a statement: texts and numbers become ?, a list becomes its first element, the rows of an
// INSERT are omitted, and of a UNION ALL only the first part remains.
func shapeText(query string) string {
	tokens := sqlTokens(query)
	if i := slices.Index(tokens, "VALUES"); i > 0 && tokens[0] == "INSERT" {
		end := slices.IndexFunc(tokens[i:], func(token string) bool { return token == "ON" || token == ";" })
		if end < 0 {
			end = len(tokens) - i
		}
		tokens = slices.Concat(tokens[:i+1], []string{"…"}, tokens[i+end:])
	}
	if i := slices.Index(tokens, "UNION"); i > 2 && tokens[0] == "(" && tokens[i-1] == ")" {
		tokens = tokens[1 : i-1]
	}
	return joinTokens(collapse(tokens))
}

// collapse replaces repetitions by one element: "?, ?, ?", "(?), (?)", "a = ? OR a = ?", "WHEN ? THEN ? WHEN ? THEN ?".
func collapse(tokens []string) []string {
	for length := 1; length <= len(tokens)/2; length++ {
		for i := 0; i+2*length <= len(tokens); {
			next := i + length
			if sep := tokens[next]; sep == "," || sep == "OR" {
				next++
			} else if tokens[i] != "WHEN" { // only WHEN clauses are repeated without a separator
				i++
				continue
			}
			if next+length <= len(tokens) && slices.Equal(tokens[i:i+length], tokens[next:next+length]) {
				tokens = slices.Delete(tokens, i+length, next+length)
				continue
			}
			i++
		}
	}
	return tokens
}

// sqlTokens splits a statement into words, signs, and ? for every value.
func sqlTokens(query string) (tokens []string) {
	for i := 0; i < len(query); {
		c := query[i]
		begin := i
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
			continue
		case c == '\'' || c == '"':
			i = endOfText(query, i)
			if n := len(tokens); n > 0 && tokens[n-1] == "_binary" {
				tokens = tokens[:n-1]
			}
			tokens = append(tokens, "?")
			continue
		case isDigit(c), c == '-' && i+1 < len(query) && isDigit(query[i+1]):
			for i++; i < len(query) && (isWord(query[i]) || query[i] == '.'); i++ {
			}
			tokens = append(tokens, "?")
			continue
		case isWord(c):
			for i < len(query) && isWord(query[i]) {
				i++
			}
		default:
			for i++; i < len(query) && strings.IndexByte("<>=", c) >= 0 && strings.IndexByte("<>=", query[i]) >= 0; i++ {
			}
		}
		tokens = append(tokens, query[begin:i])
	}
	return tokens
}

// endOfText is the position after the text that begins with a quote at i.
func endOfText(query string, i int) int {
	quote := query[i]
	for i++; i < len(query); i++ {
		switch {
		case query[i] == '\\':
			i++
		case query[i] == quote && i+1 < len(query) && query[i+1] == quote:
			i++
		case query[i] == quote:
			return i + 1
		}
	}
	return len(query)
}

// withoutLastRow takes the last row out of an INSERT; one with a single row becomes a statement without effect.
func withoutLastRow(query string) string {
	const before = " VALUES "
	begin := strings.Index(query, before)
	if begin < 0 {
		return query
	}
	last, i, depth := begin, begin+len(before), 0 // last is where the last row begins, with the comma before it
	for ; i < len(query); i++ {
		switch c := query[i]; {
		case c == '\'' || c == '"':
			i = endOfText(query, i) - 1
		case c == '(':
			depth++
		case c == ')':
			depth--
		case depth > 0 || c == ' ':
		case c == ',':
			last = i
		default: // ON DUPLICATE KEY, or the next statement
			return cutRow(query, begin, last, i)
		}
	}
	return cutRow(query, begin, last, i)
}

func cutRow(query string, begin, last, end int) string {
	if last > begin {
		return query[:last] + " " + query[end:]
	}
	_, rest, _ := strings.Cut(query[end:], ";")
	return "DO 0;" + rest
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isWord(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c == '@' || c == '`' || c == '$' || c >= 0x80
}

func joinTokens(tokens []string) string {
	var b strings.Builder
	for i, t := range tokens {
		if i > 0 && t != ")" && t != "," && t != "." && tokens[i-1] != "(" && tokens[i-1] != "." {
			b.WriteByte(' ')
		}
		b.WriteString(t)
	}
	return b.String()
}
