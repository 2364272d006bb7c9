package job

import (
	"context"
	"fmt"
	"time"

	"jdpay-listener/internal/sqldb"
)

// CountJobs returns how many jobs the filter selects.
func (s *MySQL) CountJobs(ctx context.Context, f Filter) (n int, err error) {
	where, args := f.where()
	if err := s.DB.QueryRowContext(ctx, "SELECT COUNT(*) FROM jdpay_job WHERE "+where, args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("counting jobs: %w", err)
	}
	return n, nil
}

// HasOlder reports whether a job of the kind is still to be done that is older than age.
func (s *MySQL) HasOlder(ctx context.Context, kind string, age time.Duration) (has bool, err error) {
	err = s.DB.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM jdpay_job WHERE state IN ('ready', 'running') AND kind = ?
		AND created_at < DATE_SUB(UTC_TIMESTAMP(6), INTERVAL ? MICROSECOND))`, kind, age.Microseconds()).Scan(&has)
	if err != nil {
		return false, fmt.Errorf("looking for old jobs of kind %s: %w", kind, err)
	}
	return has, nil
}

// CountUnread returns how many unfinished jobs of these kinds name no order yet: no try of them has come so far.
func (s *MySQL) CountUnread(ctx context.Context, kinds []string) (n int, err error) {
	err = s.DB.QueryRowContext(ctx, "SELECT COUNT(*) FROM jdpay_job WHERE state IN ('ready', 'running') AND kind IN "+sqldb.In(len(kinds))+" AND ref IS NULL", texts(kinds)...).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("counting the jobs that name no order yet: %w", err)
	}
	return n, nil
}
