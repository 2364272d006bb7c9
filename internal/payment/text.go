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

// Texts from outside are Unicode; the company's columns may be of a smaller character set, or short. Each statement is
// tried as it is, since nearly every text fits; only when the server refuses one (see sqldb.IsBadText) are the columns
// looked at, and the statement is run once more with what they can hold.

// querier is a pool or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// columnText is a text for a column.
type columnText struct{ column, value string }

// textColumn is what a column can hold.
type textColumn struct {
	charset string // empty: not a column of characters
	most    int    // characters, or bytes; 0: it holds no text
	bytes   bool   // most counts bytes
}

// storable returns what the columns of a table (or view) can hold of these texts: a character that the column's
// character set lacks is '?', as the server itself converts it, and what is too long is cut after a whole character. A
// column that is not for text holds only digits; the result for anything else is empty.
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
		case !known || c.most == 0 && strings.Trim(t.value, "0123456789") == "":
			fitted[i] = t.value
			continue
		case c.most == 0:
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
	rows, err := db.QueryContext(ctx, `SELECT LOWER(column_name), LOWER(data_type), COALESCE(character_set_name, ''), COALESCE(character_maximum_length, 0)
		FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = ?`, table)
	if err != nil {
		return nil, fmt.Errorf("reading the columns of %s: %w", table, err)
	}
	defer rows.Close()
	columns := map[string]textColumn{}
	for rows.Next() {
		var name, kind string
		var c textColumn
		var most uint64 // LONGTEXT: 4 GiB
		if err := rows.Scan(&name, &kind, &c.charset, &most); err != nil {
			return nil, fmt.Errorf("reading the columns of %s: %w", table, err)
		}
		switch {
		case kind == "char", kind == "varchar":
		case strings.HasSuffix(kind, "text"), strings.HasSuffix(kind, "binary"), strings.HasSuffix(kind, "blob"):
			c.bytes = true
		default: // numbers and times; and a list of words takes no other
			most = 0
		}
		c.most = int(min(most, 1<<30))
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
		if r := []rune(s); len(r) > c.most {
			return string(r[:c.most])
		}
		return s
	}
	if len(s) <= c.most {
		return s
	}
	end := c.most
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

func ascii(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

// selectIn runs a query for rows of which a column is among the values. A value that the column cannot hold is in none of
// its rows: if the server refuses to compare one, the query is run without it, or with NULL if no value is left.
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

// warnCut says, once for each column, that what it holds is not what came.
func warnCut(log *slog.Logger, said *onceEach, table, column string, attrs ...any) {
	if log != nil && said.first(column) {
		log.Warn("a text did not fit its column: characters that the column lacks are written as ?, and what is too long is cut",
			append([]any{"column", table + "." + column}, attrs...)...)
	}
}
