// Package check is what the adapters (databases, MNS, broker, JD, Redis, Elasticsearch) share to check the options that
// they are given: faults that name an option, and the forms of addresses and certificate files. A fault never quotes an
// option's value, which may be half a password.
package check

import "jdpay-listener/internal/lang"

// Fault is one thing that is wrong with an option.
type Fault struct {
	Option  string       // the name of the field, such as Topic, TLS.CAFile or, for an entry of a map, Headers:X-Key
	Problem lang.Message // what is wrong with it
	Remedy  lang.Message // what to do; empty: give the option a value
	Warning bool         // the adapter works with it all the same
}

// Faults are the faults of an adapter's options.
type Faults []Fault

// Add adds a fault.
func (f *Faults) Add(option string, problem, remedy lang.Message) {
	*f = append(*f, Fault{Option: option, Problem: problem, Remedy: remedy})
}

// Warn adds a fault with which the adapter works.
func (f *Faults) Warn(option string, problem lang.Message) {
	*f = append(*f, Fault{Option: option, Problem: problem, Warning: true})
}

// Err returns the faults that are no warnings as one error, or nil; what names the adapter.
func (f Faults) Err(what string) error {
	var texts []lang.Message
	for _, fault := range f {
		if fault.Warning {
			continue
		}
		text := lang.M("%s: %s", fault.Option, fault.Problem)
		if !fault.Remedy.IsZero() {
			text = lang.M("%s: %s (%s)", fault.Option, fault.Problem, fault.Remedy)
		}
		texts = append(texts, text)
	}
	if texts == nil {
		return nil
	}
	return lang.Errorf("options of %s: %s", what, lang.Join(texts, ", "))
}
