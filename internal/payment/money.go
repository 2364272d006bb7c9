package payment

import (
	"fmt"
	"strconv"
	"strings"
)

// Fen is an exact amount of money: 100 fen are one yuan.
type Fen int64

// maxFen is what the business tables' DECIMAL(12,2) holds.
const maxFen = 999_999_999_999

// ParseYuan reads an amount in yuan: digits, and at most two decimals. It never passes through a float. Every error is
// an ErrMalformed.
func ParseYuan(s string) (Fen, error) {
	whole, frac, point := strings.Cut(s, ".")
	if point && (len(frac) == 0 || len(frac) > 2) {
		return 0, malformed("amount %q in yuan must have at most two decimals", cut(s, 40))
	}
	return parseFen(s, whole+frac+"00"[len(frac):])
}

// ParseFen reads an amount in fen: digits only. Every error is an ErrMalformed.
func ParseFen(s string) (Fen, error) { return parseFen(s, s) }

func parseFen(s, digits string) (Fen, error) {
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return 0, malformed("amount %q must be digits, with a point at most", cut(s, 40))
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n > maxFen || s == "" || s[0] == '.' {
		return 0, malformed("amount %q is empty or too large", cut(s, 40))
	}
	return Fen(n), nil
}

// columnYuan reads an amount column; a company's own table or view may have more decimals than two.
func columnYuan(s string) (Fen, error) {
	if whole, frac, ok := strings.Cut(s, "."); ok {
		s = whole + "." + frac[:min(len(frac), 2)]
		if strings.Trim(frac[min(len(frac), 2):], "0") != "" {
			return 0, fmt.Errorf("the order's amount %s.%s is not in whole fen", whole, frac)
		}
	}
	return ParseYuan(s)
}

// String is the amount in yuan with two decimals.
func (f Fen) String() string { return fmt.Sprintf("%d.%02d", f/100, f%100) }

// cut shortens a text from outside for an error message.
func cut(s string, most int) string {
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
