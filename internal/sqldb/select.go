package sqldb

import (
	"context"
	"database/sql"
)

// Querier is a pool, a connection or a transaction.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Select runs a query and returns its rows. into names where the columns of a row go, in their order.
func Select[T any](ctx context.Context, db Querier, into func(*T) []any, query string, args ...any) ([]T, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []T
	for rows.Next() {
		var row T
		if err := rows.Scan(into(&row)...); err != nil {
			return nil, err
		}
		list = append(list, row)
	}
	return list, rows.Err()
}

// SelectColumn runs a query with one column and returns its values.
func SelectColumn[T any](ctx context.Context, db Querier, query string, args ...any) ([]T, error) {
	return Select(ctx, db, func(value *T) []any { return []any{value} }, query, args...)
}

// Args makes a statement's arguments of values.
func Args[T any](values []T) []any {
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = v
	}
	return args
}
