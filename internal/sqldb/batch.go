package sqldb

import (
	"golang.org/x/sync/errgroup"
)

// maxAlone bounds how many items of a failed batch are written at the same time.
const maxAlone = 8

// WriteBatch writes a batch in one call of write. If that fails while the database works, each item is written alone,
// several at the same time, so that one bad or locked row does not delay the others. It returns nil, or an error or nil
// for each item.
func WriteBatch[T any](batch []T, write func([]T) error) []error {
	err := write(batch)
	if err == nil {
		return nil
	}
	errs := make([]error, len(batch))
	if len(batch) == 1 || IsDown(err) {
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	var alone errgroup.Group
	alone.SetLimit(maxAlone)
	for i := range batch {
		alone.Go(func() error {
			errs[i] = write(batch[i : i+1 : i+1])
			return nil
		})
	}
	_ = alone.Wait() // the errors are in errs
	return errs
}
