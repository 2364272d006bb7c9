package config

import (
	"cmp"
	"reflect"
	"slices"
	"strings"

	"jdpay-listener/internal/lang"
)

// Fault is one fault of the configuration.
type Fault struct {
	Key     string       `json:"key"`              // the key, or the file and line when no key can be named
	Given   string       `json:"given,omitempty"`  // the flat key of the replaced program by which the key was given; empty when by its own name
	Value   string       `json:"value,omitempty"`  // what was given, masked where it is a secret; empty when nothing was
	Source  string       `json:"source,omitempty"` // where it was given; empty when nowhere
	Problem lang.Message `json:"problem"`          // what is wrong with it
	Remedy  lang.Message `json:"remedy,omitzero"`  // what to do
}

// String returns the fault as one line: key = "value" (source): problem; remedy. The key is the one that the user wrote.
func (f Fault) String() string { return f.Message().String() }

// Message returns the fault as a message.
func (f Fault) Message() lang.Message {
	if f.Remedy.IsZero() {
		return lang.M("%s: %s", f.place(), f.Problem)
	}
	return lang.M("%s: %s; %s", f.place(), f.Problem, f.Remedy)
}

func (f Fault) place() string {
	text := cmp.Or(f.Given, f.Key)
	if f.Value != "" {
		text += ` = "` + f.Value + `"`
	}
	if f.Source != "" {
		text += " (" + f.Source + ")"
	}
	return text
}

// Faults are all faults of a configuration, as one error.
type Faults []Fault

// Error lists the faults, each on its own line.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.String()
	}
	return strings.Join(lines, "\n")
}

// Of returns the faults of the named sections (JDPay), and those of no section, such as a file that cannot be read.
func (f Faults) Of(wanted ...string) Faults {
	var left Faults
	for _, fault := range f {
		section, _, _ := strings.Cut(fault.Key, ":")
		if slices.Contains(wanted, section) || !slices.Contains(sections(), section) {
			left = append(left, fault)
		}
	}
	return left
}

// sections are the names of all sections.
func sections() (names []string) {
	for f := range reflect.TypeFor[Config]().Fields() {
		names = append(names, f.Name)
	}
	return names
}
