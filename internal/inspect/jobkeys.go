package inspect

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
)

// uniqueKeyLength is the length of jdpay_job.unique_key in characters.
const uniqueKeyLength = 191

// JobKeys returns what of jdpay_job's keys is not as migrate makes them, as statements about the columns id and unique_key.
func JobKeys(ctx context.Context, db *sql.DB) (wrong []string, err error) {
	rows, err := db.QueryContext(ctx, `SELECT column_name, data_type, COALESCE(character_maximum_length, 0), COALESCE(collation_name, ''), extra
		FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'jdpay_job' AND column_name IN ('id', 'unique_key')`)
	if err != nil {
		return nil, fmt.Errorf("reading the columns of jdpay_job: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var name, kind, collation, extra string
		var length int
		if err := rows.Scan(&name, &kind, &length, &collation, &extra); err != nil {
			return nil, fmt.Errorf("reading the columns of jdpay_job: %w", err)
		}
		switch {
		case name == "id" && (kind != "bigint" || !strings.Contains(strings.ToLower(extra), "auto_increment")):
			wrong = append(wrong, "id is not BIGINT AUTO_INCREMENT")
		case name == "unique_key" && (kind != "varchar" || length < uniqueKeyLength):
			wrong = append(wrong, fmt.Sprintf("unique_key is %s of %d characters, not VARCHAR(%d)", kind, length, uniqueKeyLength))
		case name == "unique_key" && collation != "utf8mb4_bin":
			wrong = append(wrong, "unique_key has the collation "+collation+", not utf8mb4_bin: different keys may count as equal")
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading the columns of jdpay_job: %w", err)
	}
	unique, err := uniqueColumns(ctx, db)
	if err != nil {
		return nil, err
	}
	for _, column := range []string{"id", "unique_key"} {
		if !slices.Contains(unique, column) {
			wrong = append(wrong, "there is no unique index on "+column+" alone, in its whole length")
		}
	}
	return wrong, nil
}

// uniqueColumns are the columns of jdpay_job that have a unique index of their own.
func uniqueColumns(ctx context.Context, db *sql.DB) (columns []string, err error) {
	rows, err := db.QueryContext(ctx, `SELECT MAX(column_name) FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = 'jdpay_job'
		GROUP BY index_name HAVING COUNT(*) = 1 AND MAX(non_unique) = 0 AND COUNT(sub_part) = 0`)
	if err != nil {
		return nil, fmt.Errorf("reading the indexes of jdpay_job: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, fmt.Errorf("reading the indexes of jdpay_job: %w", err)
		}
		columns = append(columns, name)
	}
	return columns, rows.Err()
}
