package message

import (
	"fmt"
	"strconv"
	"strings"
)

// Fen is an exact amount of money: 100 fen are one yuan.
type Fen int64

// maxFen is the largest amount that the business tables' DECIMAL(12,2) holds.
const maxFen = 999_999_999_999

// ParseYuan parses an amount in yuan: digits and at most two decimals. Every error is an ErrMalformed.
func ParseYuan(s string) (Fen, error) {
	whole, frac, point := strings.Cut(s, ".")
	if point && (len(frac) == 0 || len(frac) > 2) {
		return 0, Malformedf("amount %q in yuan must have at most two decimals", Cut(s, 40))
	}
	return parseFen(s, whole+frac+"00"[len(frac):])
}

// ParseFen parses an amount in fen: digits only. Every error is an ErrMalformed.
func ParseFen(s string) (Fen, error) { return parseFen(s, s) }

func parseFen(s, digits string) (Fen, error) {
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return 0, Malformedf("amount %q may have digits and a decimal point only", Cut(s, 40))
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n > maxFen || s == "" || s[0] == '.' {
		return 0, Malformedf("amount %q is empty or too large", Cut(s, 40))
	}
	return Fen(n), nil
}

// String returns the amount in yuan with two decimals.
func (f Fen) String() string { return fmt.Sprintf("%d.%02d", f/100, f%100) }

// Cut shortens a text from outside to maxBytes, for an error message or a log line.
func Cut(s string, maxBytes int) string {
	if len(s) > maxBytes {
		return strings.ToValidUTF8(s[:maxBytes], "") + "…"
	}
	return s
}
