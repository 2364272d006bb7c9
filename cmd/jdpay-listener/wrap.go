package main

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"jdpay-listener/internal/lang"
)

// wrapper writes to a terminal and breaks lines that are wider. What follows stands below the second column of a table, so that a
// key stays to be seen.
type wrapper struct {
	w       io.Writer
	columns int
	line    []byte // that has not ended yet
}

// Write implements io.Writer.
func (w *wrapper) Write(p []byte) (int, error) {
	w.line = append(w.line, p...)
	for {
		end := bytes.IndexByte(w.line, '\n')
		if end < 0 {
			return len(p), nil
		}
		line := string(w.line[:end])
		w.line = w.line[end+1:]
		if _, err := fmt.Fprintln(w.w, wrapLine(line, w.columns)); err != nil {
			return 0, err
		}
	}
}

// unwrapped is the stream itself: what is for programs stays as it is.
func unwrapped(w io.Writer) io.Writer {
	if wrapped, ok := w.(*wrapper); ok {
		return wrapped.w
	}
	return w
}

func (w *wrapper) flush() { _, _ = w.w.Write(w.line) }

// wrapLine breaks a line that is wider than so many columns.
func wrapLine(line string, columns int) string {
	if columns < 20 || lang.Width(line) <= columns {
		return line
	}
	text := strings.TrimLeft(line, " ")
	head := len(line) - len(text)
	indent := head
	if head > 0 {
		indent += 2
	}
	if gap := strings.Index(text, "  "); gap > 0 {
		rest := strings.TrimLeft(text[gap:], " ")
		if at := len(line) - len(rest); rest != "" && lang.Width(line[:at]) <= columns/2 {
			head, indent = at, lang.Width(line[:at])
		}
	}
	indent = min(indent, columns/2)
	lines := lang.Wrap(line[head:], columns-max(indent, lang.Width(line[:head])))
	return line[:head] + strings.Join(lines, "\n"+strings.Repeat(" ", indent))
}

var brokenLine = regexp.MustCompile(`([^\n])\n([^\n ])`)

// unbreak joins the lines of each paragraph of the help, which the wrapper breaks at the terminal's width.
func unbreak(cmd *cobra.Command) {
	cmd.Long = brokenLine.ReplaceAllStringFunc(cmd.Long, func(at string) string {
		if lang.Width(at) > len("a\nb") { // Chinese has no blanks between words
			return strings.ReplaceAll(at, "\n", "")
		}
		return strings.ReplaceAll(at, "\n", " ")
	})
	for _, sub := range cmd.Commands() {
		unbreak(sub)
	}
}

// helpCommand is the library's help, except that of an unknown command: that is wrong usage.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [command]",
		Short: "Help about any command",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return usageError{fmt.Errorf("there is no command %q", strings.Join(args, " "))}
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
}
