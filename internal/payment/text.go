package payment

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"strings"
	"unicode/utf8"

	"jdpay-listener/internal/sqldb"
)

// Texts from outside are Unicode; the company's columns may have a smaller character set, or be short. Each statement is
// first run unchanged, since nearly every text fits. Only when the server refuses it (see sqldb.IsBadText) are the column
// definitions read, and the statement is run again with what the columns can hold.

// querier is a pool or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// columnText is a text for a column.
type columnText struct{ column, value string }

// textColumn is what a column can hold.
type textColumn struct {
	charset string // empty: not a column of characters
	max     int    // length in characters or bytes; 0: the column holds no text
	bytes   bool   // max is in bytes
	digits  int    // without max: how many digits every number may have that the column holds
}

// storable returns what the columns of a table (or view) can hold of these texts. A character that the column's character
// set lacks becomes '?', converted by the server; a text that is too long is cut after a whole character. For a column that
// is not for text, only digits are returned, as many as it surely holds, and any other text becomes empty.
func storable(ctx context.Context, db querier, table string, texts []columnText) ([]string, error) {
	columns, err := textColumns(ctx, db, table)
	if err != nil {
		return nil, err
	}
	fitted := make([]string, len(texts))
	var converted []*string
	var conversions strings.Builder
	var args, into []any
	for i, t := range texts {
		c, known := columns[t.column]
		switch {
		case !known || c.max == 0 && len(t.value) <= c.digits && isNumber(t.value):
			fitted[i] = t.value
			continue
		case c.max == 0:
			continue
		}
		fitted[i] = c.cut(t.value)
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
		return nil, fmt.Errorf("converting texts to the character sets of %s: %w", table, err)
	}
	defer rows.Close()
	if rows.Next() {
		err = rows.Scan(into...)
	}
	if err == nil {
		err = rows.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("converting texts to the character sets of %s: %w", table, err)
	}
	return fitted, nil
}

// textColumns reads what the columns of a table or view can hold, by lower-case name.
func textColumns(ctx context.Context, db querier, table string) (map[string]textColumn, error) {
	rows, err := db.QueryContext(ctx, `SELECT LOWER(column_name), LOWER(data_type), COALESCE(character_set_name, ''), COALESCE(character_maximum_length, 0),
		COALESCE(numeric_precision, 0) - COALESCE(numeric_scale, 0) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = ?`, table)
	if err != nil {
		return nil, fmt.Errorf("reading the columns of %s: %w", table, err)
	}
	defer rows.Close()
	columns := map[string]textColumn{}
	for rows.Next() {
		var name, kind string
		var c textColumn
		var length uint64 // LONGTEXT: 4 GiB
		if err := rows.Scan(&name, &kind, &c.charset, &length, &c.digits); err != nil {
			return nil, fmt.Errorf("reading the columns of %s: %w", table, err)
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
		return nil, fmt.Errorf("reading the columns of %s: %w", table, err)
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

func isNumber(s string) bool { return strings.Trim(s, "0123456789") == "" }

func ascii(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

// selectIn runs a query for the rows whose column has one of the values. If the server refuses to compare a value that the
// column cannot hold, the query is run without that value, or with NULL if no value is left.
func selectIn(ctx context.Context, db querier, table, column string, values []any, query func(values []any) (*sql.Rows, error)) (*sql.Rows, error) {
	rows, err := query(values)
	if !sqldb.IsBadText(err) {
		return rows, err
	}
	texts := make([]columnText, len(values))
	for i, v := range values {
		texts[i] = columnText{column, v.(string)}
	}
	fitted, err := storable(ctx, db, table, texts)
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

// warnCut logs, once for each column, that a text was changed to fit it.
func warnCut(log *slog.Logger, warned *onceEach, table, column string, attrs ...any) {
	if log != nil && warned.first(column) {
		log.Warn("a text did not fit its column: characters that the column lacks are written as ?, and what is too long is cut",
			append([]any{"column", table + "." + column}, attrs...)...)
	}
}
