package alert

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/lang"
)

const (
	maxSentences = 3  // in one notice
	maxNamed     = 50 // orders and jobs in one notice
	maxListed    = 20 // of them in a sentence
	// explainTimeout bounds what a notice's sentences may wait for: the main database may be what is wrong.
	explainTimeout = 5 * time.Second
)

// compose words a notice.
func (t *Teller) compose(ctx context.Context, g *group, s *Settings) *Notice {
	first := g.rows[0]
	title := Title(g.cause)
	if n := len(g.rows); n > 1 {
		title = lang.M("%s ×%d", title, n)
	}
	switch g.change {
	case StillOpen:
		title = lang.M("%s: still open", title)
	case Over:
		title = lang.M("%s: over", title)
	}
	n := &Notice{
		ID: fmt.Sprint(g.key(), ":", first.id), Status: g.change, Cause: g.cause, Page: Pages(g.cause) && g.change != Over, Language: string(s.Language),
		Since: first.since, At: time.Now(), Instance: t.opts.Instance, Title: title.In(s.Language),
	}
	if first.seen != nil { // no row names it
		n.ID = fmt.Sprint(g.key(), ":", t.opts.Instance, ":", first.since.Unix())
	}
	for _, r := range g.rows[:min(len(g.rows), maxNamed)] {
		if r.order != "" && !slices.Contains(n.Orders, r.order) {
			n.Orders = append(n.Orders, r.order)
		}
		if r.job != 0 {
			n.Jobs = append(n.Jobs, r.job)
		}
	}
	switch {
	case g.change != Over:
		n.Text, n.Commands = t.sentences(ctx, g, n, s), []string{command(g.cause, n.Orders, n.Jobs)}
	case len(n.Orders) > 0:
		n.Text = []string{lang.M("It is over for %s.", lang.Plain(listed(n.Orders))).In(s.Language)}
	default:
		n.Text = []string{lang.M("It lasted %s; nothing to do.", time.Since(first.since).Round(time.Second)).In(s.Language)}
	}
	if s.Console != "" {
		n.Console = consolePage(s.Console, n.Orders)
	}
	return n
}

func listed(names []string) string { return strings.Join(names[:min(len(names), maxListed)], ", ") }

// sentences say of the first alerts what is wrong, and name the others.
func (t *Teller) sentences(ctx context.Context, g *group, n *Notice, s *Settings) (text []string) {
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	for _, r := range g.rows[:min(len(g.rows), maxSentences)] {
		sentence := r.text[s.Language]
		if sentence == "" && r.order != "" {
			if trace, err := inspect.LookUp(ctx, t.opts.Account, t.opts.Main, r.order); err == nil {
				sentence = trace.Explain(s.Language, s.Zone)
			} else {
				sentence = r.order
			}
		}
		if sentence != "" && !slices.Contains(text, sentence) {
			text = append(text, sentence)
		}
	}
	if rest := len(g.rows) - maxSentences; rest > 0 {
		text = append(text, lang.M("%d more: %s", rest, lang.Plain(listed(n.Orders[min(maxSentences, len(n.Orders)):]))).In(s.Language))
	}
	return text
}

// bareWord is what a shell takes as it is.
var bareWord = regexp.MustCompile(`^[A-Za-z0-9._/-]+$`)

func quote(word string) string {
	if bareWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// command is the one command to type.
func command(name string, orders []string, jobs []int64) string {
	const program = "jdpay-listener "
	c, what := lookUp(name)
	switch {
	case len(orders) > 0 && (c.run == parkedList && len(orders) == 1 || name == CauseLate || name == CauseDiffers):
		return program + "explain " + quote(orders[0])
	case len(jobs) > 0 && (c.run == parkedList && len(jobs) == 1 || strings.Contains(c.run, "{job}")):
		return program + "jobs show " + strconv.FormatInt(jobs[0], 10)
	case name == CauseBurst+"bad_signature", name == CauseBurst+"malformed":
		return program + "jobs list --state rejected"
	}
	return program + strings.ReplaceAll(c.run, "{what}", quote(what))
}

// consolePage is the page of the console that shows more.
func consolePage(console string, orders []string) string {
	if console = strings.TrimRight(console, "/"); len(orders) == 1 {
		return console + "/orders/" + url.PathEscape(orders[0])
	}
	return console + "/"
}
