package daemon

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"jdpay-listener/internal/lang"
)

// Finding is the result of one check of the daemon's surroundings.
type Finding struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Warning bool   `json:"warning"` // it works but should be changed
	// Unchecked means that the check could not be made; Detail says why. It is then neither ok nor failed.
	Unchecked bool         `json:"unchecked"`
	Detail    lang.Message `json:"detail"`
	Remedy    lang.Message `json:"remedy,omitzero"` // what to change; every finding has one that is not simply ok
	// Transport is how the connection is secured; nil: the finding is about something else.
	Transport *Link `json:"transport,omitempty"`
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
	switch {
	case err == nil:
		return f
	case errors.As(err, &better):
		return Finding{Name: p.name, OK: true, Warning: true, Detail: better.detail, Remedy: better.remedy}
	case errors.As(err, &untried):
		return Finding{Name: p.name, Unchecked: true, Detail: lang.M("not checked: %s", untried.reason), Remedy: untried.remedy}
	case errors.As(err, &failed):
		f.Remedy = failed.remedy
	default:
		f.Remedy = p.remedy
	}
	f.Detail = errorMessage(err)
	if errors.Is(err, context.DeadlineExceeded) {
		f.Detail = lang.M("no answer within %s", probeTimeout)
	}
	return f
}

// errorMessage returns the message of an error on one line. A connection that could not be made is said in words.
func errorMessage(err error) lang.Message {
	var failed *fault
	if errors.As(err, &failed) {
		err = failed.error
	}
	var own lang.Error
	var dial *net.OpError
	if !errors.As(err, &own) && errors.As(err, &dial) && dial.Op == "dial" {
		if m := dialMessage(dial); !m.IsZero() {
			return m
		}
	}
	if m := lang.ErrorMessage(err); !strings.Contains(m.String(), "\n") {
		return m
	}
	return lang.Plain(strings.ReplaceAll(err.Error(), "\n", "; "))
}

// dialMessage says why a connection could not be made. It is empty if the reason is none of the usual ones.
func dialMessage(err *net.OpError) lang.Message {
	var name *net.DNSError
	switch {
	case errors.As(err, &name) && name.IsNotFound:
		return lang.M("the name %s is not known (DNS)", name.Name)
	case err.Addr == nil:
		return lang.Message{}
	case errors.Is(err, syscall.ECONNREFUSED):
		return lang.M("nothing listens at %s (connection refused)", err.Addr)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return lang.M("there is no network to %s", err.Addr)
	case err.Timeout():
		return lang.M("%s does not answer in time", err.Addr)
	}
	return lang.Message{}
}
