package alert

import (
	"strings"
	"time"
	"unicode/utf8"

	"jdpay-listener/internal/printable"
)

// words are the few texts of a card that are not the notice's.
type words struct{ run, console, since, comma, from, order string }

var cardWords = map[string]words{
	"en": {"Run", "Open the console", "since", ", ", "from", "Order"},
	"zh": {"执行", "打开控制台", "开始于", "，", "来自", "订单"},
}

var cardMarks = map[Status]string{Opened: "🔴", StillOpen: "🟠", Over: "🟢", Test: "🔵"}

// heading is the title with a mark that is seen from afar. It begins with the program's name in any language: robots that ask
// for a keyword take that.
func (n *Notice) heading() string { return cardMarks[n.Status] + " jdpay: " + plain(n.Title) }

// card is the heading and the text below it, at most limit bytes long.
func (n *Notice) card(limit int, zone *time.Location) string {
	heading := "### " + n.heading() + "\n\n"
	return heading + n.markdown(limit-len(heading), zone)
}

// markdown is the notice in the Markdown that all robots know, at most limit bytes long. Empty lines separate paragraphs:
// DingTalk joins lines.
func (n *Notice) markdown(limit int, zone *time.Location) string {
	w, known := cardWords[n.Language]
	if !known {
		w = cardWords["en"]
	}
	var end strings.Builder
	if len(n.Orders) == 1 && !strings.Contains(strings.Join(n.Text, ""), n.Orders[0]) {
		end.WriteString("\n\n" + w.order + " " + plain(n.Orders[0]))
	}
	for _, c := range n.Commands {
		end.WriteString("\n\n> " + w.run + " `" + strings.ReplaceAll(plain(c), "`", "'") + "`")
	}
	if n.Console != "" {
		end.WriteString("\n\n[" + w.console + "](" + n.Console + ")")
	}
	end.WriteString("\n\n" + w.since + " " + n.Since.In(zone).Format(time.DateTime) + w.comma + w.from + " " + plain(n.Instance))
	text := make([]string, len(n.Text))
	for i, paragraph := range n.Text {
		text[i] = plain(paragraph)
	}
	return cut(strings.Join(text, "\n\n"), limit-end.Len()) + end.String()
}

// cut shortens a text to at most limit bytes.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	limit = max(limit-len("…"), 0)
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit] + "…"
}

// plain makes a text with parts from outside (order numbers, texts of JD and of cabinets) one line that forms no link, picture
// or mention.
func plain(text string) string { return disarm.Replace(printable.Text(text)) }

var disarm = strings.NewReplacer("[", "［", "]", "］", "<", "‹", ">", "›", "@", "＠", "://", ":／／")
