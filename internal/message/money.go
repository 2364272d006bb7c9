package message

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Fen is an exact amount of money: 100 fen are one yuan.
type Fen int64

// maxFenDigits is how many digits an amount in fen may have: as many as the business tables' DECIMAL(12,2).
const maxFenDigits = 12

// ParseYuan parses an amount in yuan: an unsigned decimal number that is a whole number of fen, such as 8, 8.0000, .50 or
// 6E+2. Every error is an ErrMalformed.
func ParseYuan(s string) (Fen, error) { return parseFen(s, 2) }

// ParseFen is ParseYuan for an amount in fen, such as 800 or 800.0.
func ParseFen(s string) (Fen, error) { return parseFen(s, 0) }

// amountForm is the form of an amount: digits, a point, an exponent. There is no sign before it.
var amountForm = regexp.MustCompile(`^([0-9]*)\.?([0-9]*)(?:[eE]([+-]?[0-9]+))?$`)

// parseFen parses an amount of which one unit is 10^decimals fen. It is exact, and costs no more than its text is long,
// whatever the exponent.
func parseFen(s string, decimals int) (Fen, error) {
	m := amountForm.FindStringSubmatch(s)
	if m == nil || m[1]+m[2] == "" {
		return 0, Malformedf("amount %q is no unsigned decimal number", Cut(s, 40))
	}
	digits := strings.TrimLeft(m[1]+m[2], "0")
	if digits == "" {
		return 0, nil
	}
	exponent, err := strconv.Atoi(cmp.Or(m[3], "0")) // at the end of its range if it is out of range
	whole := len(digits) - len(m[2]) + decimals      // how many digits the whole fen have, without the exponent
	digits = strings.TrimRight(digits, "0")
	switch {
	case err == nil && exponent < len(digits)-whole, err != nil && exponent < 0:
		return 0, Malformedf("amount %q has a fraction of a fen", Cut(s, 40))
	case err != nil || exponent > maxFenDigits-whole:
		return 0, Malformedf("amount %q is too large", Cut(s, 40))
	}
	n, err := strconv.ParseInt(digits+strings.Repeat("0", whole+exponent-len(digits)), 10, 64)
	return Fen(n), err
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
