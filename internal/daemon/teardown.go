package daemon

import (
	"errors"
	"fmt"
	"slices"
)

// teardown ends resources in the reverse order of their creation. Its zero value is ready for use.
type teardown struct{ resources []resource }

type resource struct {
	name string
	end  func() error
}

// add registers how a resource ends. Call it where the resource is created.
func (t *teardown) add(name string, end func() error) {
	t.resources = append(t.resources, resource{name, end})
}

// run ends all resources that were added since it last ran, and returns their errors, each with its resource's name.
func (t *teardown) run() error {
	var errs []error
	for _, r := range slices.Backward(t.resources) {
		if err := r.end(); err != nil {
			errs = append(errs, fmt.Errorf("closing %s: %w", r.name, err))
		}
	}
	t.resources = nil
	return errors.Join(errs...)
}
