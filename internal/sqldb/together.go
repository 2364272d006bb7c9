package sqldb

import (
	"golang.org/x/sync/errgroup"
)

// aloneWidth bounds how many of a broken batch are tried side by side.
const aloneWidth = 8

// Together writes a batch in one go. If that fails while the database works, each of the batch is written by itself,
// side by side, so that one bad or locked row does not hold up its neighbours. It returns nil, or an error or nil for
// each.
func Together[T any](batch []T, write func([]T) error) []error {
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
	alone.SetLimit(aloneWidth)
	for i := range batch {
		alone.Go(func() error {
			errs[i] = write(batch[i : i+1 : i+1])
			return nil
		})
	}
	_ = alone.Wait() // the errors are in errs
	return errs
}
