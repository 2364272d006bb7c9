package kernel

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"jdpay-listener/internal/sqldb"
)

// Texts from outside are Unicode; the company's columns may have a smaller character set, or be short. Each statement is
// first run unchanged, since nearly every text fits. Only when the server refuses it (see sqldb.IsBadText) are the column
// definitions read, and the statement is run again with what the columns can hold.

// Text is a text for a column.
type Text struct{ Column, Value string }

// textColumn is what a column can hold.
type textColumn struct {
	charset string // empty: not a column of characters
	max     int    // length in characters or bytes; 0: the column holds no text
	bytes   bool   // max is in bytes
	digits  int    // without max: how many digits every number may have that the column holds
}

// Storable returns what the table's columns can hold of these texts. A character that the column's character
// set lacks becomes '?', converted by the server; a text that is too long is cut after a whole character. For a column that
// is not for text, only digits are returned, as many as it surely holds, and any other text becomes empty.
func (t Table) Storable(ctx context.Context, db querier, texts []Text) ([]string, error) {
	columns, err := t.textColumns(ctx, db)
	if err != nil {
		return nil, err
	}
	fitted := make([]string, len(texts))
	var converted []*string
	var conversions strings.Builder
	var args, into []any
	for i, text := range texts {
		c, known := columns[text.Column]
		switch {
		case !known || c.max == 0 && len(text.Value) <= c.digits && strings.Trim(text.Value, "0123456789") == "":
			fitted[i] = text.Value
			continue
		case c.max == 0:
			continue
		}
		fitted[i] = c.cut(text.Value)
		if c.charset != "" && !ascii(fitted[i]) {
			conversions.WriteString(", CONVERT(CONVERT(? USING " + c.charset + ") USING utf8mb4)")
			args, converted, into = append(args, fitted[i]), append(converted, &fitted[i]), append(into, &fitted[i])
		}
	}
	if len(converted) == 0 {
		return fitted, nil
	}
	rows, err := db.QueryContext(ctx, "SELECT "+conversions.String()[2:], args...)
	if err != nil {
		return nil, fmt.Errorf("converting texts to the character sets of %s: %w", t.Name, err)
	}
	defer rows.Close()
	if rows.Next() {
		err = rows.Scan(into...)
	}
	if err == nil {
		err = rows.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("converting texts to the character sets of %s: %w", t.Name, err)
	}
	return fitted, nil
}

// textColumns reads what the table's columns can hold, by lower-case name.
func (t Table) textColumns(ctx context.Context, db querier) (map[string]textColumn, error) {
	rows, err := db.QueryContext(ctx, `SELECT LOWER(column_name), LOWER(data_type), COALESCE(character_set_name, ''), COALESCE(character_maximum_length, 0),
		COALESCE(numeric_precision, 0) - COALESCE(numeric_scale, 0) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = ?`, t.Name)
	if err != nil {
		return nil, fmt.Errorf("reading the columns of %s: %w", t.Name, err)
	}
	defer rows.Close()
	columns := map[string]textColumn{}
	for rows.Next() {
		var name, kind string
		var c textColumn
		var length uint64 // LONGTEXT: 4 GiB
		if err := rows.Scan(&name, &kind, &c.charset, &length, &c.digits); err != nil {
			return nil, fmt.Errorf("reading the columns of %s: %w", t.Name, err)
		}
		switch {
		case kind == "char", kind == "varchar":
		case strings.HasSuffix(kind, "text"), strings.HasSuffix(kind, "binary"), strings.HasSuffix(kind, "blob"):
			c.bytes = true
		default: // numbers, times, and ENUM or SET, which hold no other texts than their own
			length = 0
			c.digits-- // the precision counts digits that not every number of this length may have
		}
		c.max = int(min(length, 1<<30))
		columns[name] = c
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading the columns of %s: %w", t.Name, err)
	}
	return columns, nil
}

// cut shortens a text to the column's length, after a whole character.
func (c textColumn) cut(s string) string {
	if !c.bytes {
		if r := []rune(s); len(r) > c.max {
			return string(r[:c.max])
		}
		return s
	}
	if len(s) <= c.max {
		return s
	}
	end := c.max
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

func ascii(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

// selectIn runs a query for the rows whose column has one of the values. If the server refuses to compare a value that the
// column cannot hold, the query is run without that value, or with NULL if no value is left.
func (t Table) selectIn(ctx context.Context, db querier, column string, values []string, query func(values []any) (*sql.Rows, error)) (*sql.Rows, error) {
	rows, err := query(list(values))
	if !sqldb.IsBadText(err) {
		return rows, err
	}
	texts := make([]Text, len(values))
	for i, v := range values {
		texts[i] = Text{column, v}
	}
	fitted, err := t.Storable(ctx, db, texts)
	if err != nil {
		return nil, err
	}
	var left []any
	for i, v := range values {
		if fitted[i] == v {
			left = append(left, v)
		}
	}
	if len(left) == 0 {
		left = []any{nil} // equal to nothing
	}
	return query(left)
}

// list makes a statement's arguments of values.
func list[T any](values []T) []any {
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = v
	}
	return args
}

// Match is a condition on a column.
type Match struct {
	form string // %s is the column
	args []any
}

// OneOf is the condition that a column has one of the values.
func OneOf(values ...any) Match { return Match{"%s IN " + sqldb.In(len(values)), values} }

// Containing is the condition that a column contains a fragment, which has letters and digits only, in small letters, without
// regard to case, blanks and dashes.
func Containing(fragment string) Match {
	return Match{"LOWER(REPLACE(REPLACE(REPLACE(%s, '-', ''), ' ', ''), '_', '')) LIKE ?", []any{"%" + fragment + "%"}}
}

// plainID returns an order's id without padding: a text column may have blanks around it, a number column leading zeros.
func plainID(column string) string {
	if id, err := strconv.ParseInt(strings.TrimSpace(column), 10, 64); err == nil {
		return strconv.FormatInt(id, 10)
	}
	return column
}

// wallClock is a DATETIME column's text, which has a wall clock's time without a zone, without fractions of a second. It is no
// time.Time: a column may hold 0000-00-00 or 2019-11-31, of which the driver would make another date.
func wallClock(column string) string {
	text, _, _ := strings.Cut(column, ".")
	return text
}

// collect returns the values of a query's only column.
func collect(rows *sql.Rows, err error) (map[string]bool, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	have := map[string]bool{}
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		have[s] = true
	}
	return have, rows.Err()
}
