package main

import (
	"cmp"

	"jdpay-listener/internal/doctor"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/setup"
)

// The texts of the fields of a link, which packages setup and doctor have as they are: each has its translation.
var _ = []string{
	lang.Mark("yes"), lang.Mark("no"), lang.Mark("if offered"), lang.Mark("authority"), lang.Mark("any issuer"), lang.Mark("none"), lang.Mark("protected"),
	lang.Mark("to an impostor"), lang.Mark("plaintext"), lang.Mark("not encrypted"), lang.Mark("no connection"), lang.Mark("not looked at: through a proxy"),
	lang.Mark("not looked at: the server does not tell"),
}

// printTransports prints how each connection is secured. A dash means that it was not checked.
func (a *app) printTransports(links []setup.Link) {
	if len(links) == 0 {
		return
	}
	in := func(m lang.Message) string { return m.In(a.lang) }
	table := [][]string{{
		in(lang.M("CONNECTION")), in(lang.M("WHERE")), in(lang.M("ENCRYPTED")), in(lang.M("VERIFIED")), in(lang.M("CREDENTIALS")), in(lang.M("SESSION")),
	}}
	for _, l := range links {
		where := lang.M("network")
		if l.Local {
			where = lang.M("this machine")
		}
		word := func(text string) string { return lang.Marked(cmp.Or(text, "-")).In(a.lang) }
		table = append(table, []string{l.Name, in(where), word(l.Encrypted), word(l.Verified), word(l.Credentials), word(l.Session)})
	}
	a.printLine("")
	a.table(table, 0)
}

// transportsOf returns the links of the findings that have one.
func transportsOf(findings []doctor.Finding) (links []setup.Link) {
	for _, f := range findings {
		if f.Transport != nil {
			links = append(links, *f.Transport)
		}
	}
	return links
}
