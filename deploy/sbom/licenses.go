package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// writeLicenses writes a list of the modules, and then every text that their licences want to go along with a copy. A
// text that several modules share stands there once.
func writeLicenses(out io.Writer, modules []module) error {
	w := bufio.NewWriter(out)
	fmt.Fprint(w, "jdpay-listener is linked with the modules below. This file goes along with every copy of the program.\nWritten by `make licenses`; `make lint` compares it with what is linked.\n\n")
	var texts []string
	of := map[string][]string{} // text: the files that have it
	for _, m := range modules {
		fmt.Fprintf(w, "%s\t%s\n", m.title(), m.License)
		for _, f := range m.Files {
			if of[f.Text] == nil {
				texts = append(texts, f.Text)
			}
			of[f.Text] = append(of[f.Text], m.title()+": "+f.Name)
		}
	}
	rule := strings.Repeat("=", 80)
	for _, text := range texts {
		fmt.Fprintf(w, "\n%s\n%s\n%s\n\n", rule, strings.Join(of[text], "\n"), rule)
		for line := range strings.SplitSeq(text, "\n") {
			fmt.Fprintln(w, strings.TrimRight(line, " \t\f"))
		}
	}
	return w.Flush()
}

func (m module) title() string {
	if m.Standard {
		return "Go's standard library" // of any version: its licence does not change
	}
	return m.Path + " " + m.Version
}
