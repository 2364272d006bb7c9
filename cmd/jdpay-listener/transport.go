package main

import (
	"fmt"
	"text/tabwriter"

	"jdpay-listener/internal/daemon"
)

// printTransports prints how each connection is secured. A dash means that it was not checked.
func (a *app) printTransports(links []daemon.Link) {
	if len(links) == 0 {
		return
	}
	fmt.Fprintln(a.stdout)
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CONNECTION\tWHERE\tENCRYPTED\tVERIFIED\tCREDENTIALS\tSESSION")
	for _, l := range links {
		where := "network"
		if l.Local {
			where = "this machine"
		}
		session := l.Session
		if session == "" {
			session = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", l.Name, where, l.Encrypted, l.Verified, l.Credentials, session)
	}
	_ = w.Flush() // a closed pipe is its reader's choice
}

// transportsOf returns the links of the findings that have one.
func transportsOf(findings []daemon.Finding) (links []daemon.Link) {
	for _, f := range findings {
		if f.Transport != nil {
			links = append(links, *f.Transport)
		}
	}
	return links
}
