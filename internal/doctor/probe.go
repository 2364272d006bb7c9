package doctor

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/setup"
)

// Finding is the result of one check of the daemon's environment.
type Finding struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Warning bool   `json:"warning"` // it works but should be changed
	// Unchecked means that the check could not be made; Detail says why. It is then neither ok nor failed.
	Unchecked bool         `json:"unchecked"`
	Detail    lang.Message `json:"detail"`
	Remedy    lang.Message `json:"remedy,omitzero"` // what to change; every finding has one that is not simply ok
	// Transport is how the connection is secured; nil: the finding is about something else.
	Transport *setup.Link `json:"transport,omitempty"`
}

// Failed reports whether the check was made and failed.
func (f Finding) Failed() bool { return !f.OK && !f.Unchecked }

const probeTimeout = 10 * time.Second

// probe checks one thing.
type probe struct {
	name string
	// needs is the name of the probe without which this one cannot be made; empty: none.
	needs  string
	remedy lang.Message // for errors that bring none of their own
	// run returns a description, or the error that becomes the finding: advice, *fault, notTried or any other.
	run func(ctx context.Context) (lang.Message, error)
}

// advice is a probe's error for what works but should be changed.
type advice struct{ detail, remedy lang.Message }

func (a advice) Error() string { return a.detail.String() }

// notTried is a probe's error for a check that it could not make.
type notTried struct{ reason, remedy lang.Message }

func (n notTried) Error() string { return n.reason.String() }

// fault is a probe's error with a remedy of its own.
type fault struct {
	error
	remedy lang.Message
}

// Unwrap returns the error without the remedy.
func (f *fault) Unwrap() error { return f.error }

// runProbes runs all probes at once, each as soon as the one that it needs has succeeded. When that has failed, the probe is
// not made: it would only fail for the same reason, and advise something else.
func runProbes(ctx context.Context, probes []probe) []Finding {
	findings := make([]Finding, len(probes))
	index := make(map[string]int, len(probes))
	done := make([]chan struct{}, len(probes))
	for i, p := range probes {
		index[p.name], done[i] = i, make(chan struct{})
	}
	var wg sync.WaitGroup
	for i, p := range probes {
		wg.Go(func() {
			defer close(done[i])
			if p.needs != "" {
				needed := index[p.needs]
				<-done[needed]
				if !findings[needed].OK {
					findings[i] = uncheckable(p, findings[needed])
					return
				}
			}
			findings[i] = p.find(ctx)
		})
	}
	wg.Wait()
	return findings
}

// uncheckable is the finding of a probe that needs one that was not ok.
func uncheckable(p probe, needed Finding) Finding {
	f := Finding{Name: p.name, Unchecked: true, Detail: lang.M("not checked: %s cannot be reached", needed.Name), Remedy: lang.M("see %s", needed.Name)}
	switch {
	case needed.Unchecked:
		f.Detail, f.Remedy = needed.Detail, needed.Remedy
	case strings.HasPrefix(needed.Name, "table "):
		f.Detail = lang.M("not checked: %s is not in order", needed.Name)
	}
	return f
}

func (p probe) find(ctx context.Context) Finding {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	detail, err := p.run(ctx)
	f := Finding{Name: p.name, OK: err == nil, Detail: detail}
	var better advice
	var untried notTried
	var failed *fault
	cause := err
	switch {
	case err == nil:
		return f
	case errors.As(err, &better):
		return Finding{Name: p.name, OK: true, Warning: true, Detail: better.detail, Remedy: better.remedy}
	case errors.As(err, &untried):
		return Finding{Name: p.name, Unchecked: true, Detail: lang.M("not checked: %s", untried.reason), Remedy: untried.remedy}
	case errors.As(err, &failed):
		f.Remedy, cause = failed.remedy, failed.error
	default:
		f.Remedy = p.remedy
	}
	f.Detail = inspect.ErrorLine(cause)
	if errors.Is(err, context.DeadlineExceeded) {
		f.Detail = lang.M("no answer within %s", probeTimeout)
	}
	return f
}
