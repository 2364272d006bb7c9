// Package lang has the texts for people in English and in Chinese. A text is written in English, with M, where it is needed;
// its format is the key of the translation in this package's tables. What programs read (JSON, log lines, outcomes, exit
// codes) is the same in every language.
package lang

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
)

// Lang is a language of texts for people.
type Lang string

// The languages.
const (
	English Lang = "en"
	Chinese Lang = "zh"
)

// Of returns the language that a --lang flag names, or, when it is empty, that of the environment: Chinese if the first of
// LC_ALL, LC_MESSAGES and LANG that is set begins with zh, else English. If the flag names another language it returns English
// and an error.
func Of(flag string, getenv func(string) string) (Lang, error) {
	switch flag {
	case string(English), string(Chinese):
		return Lang(flag), nil
	case "":
		if strings.HasPrefix(cmp.Or(getenv("LC_ALL"), getenv("LC_MESSAGES"), getenv("LANG")), "zh") {
			return Chinese, nil
		}
		return English, nil
	}
	return English, Errorf("--lang is en or zh")
}

// Message is a text with the values in it, which is available in each language. The zero value is the empty text.
type Message struct {
	format string // or the text itself
	args   []any
	kind   kind
}

type kind int

const (
	formatted kind = iota
	marked         // a text without values
	plain          // a text that is the same in every language
	quoted         // a text of a driver, of JD or of the system, which Chinese marks as quoted
	both           // the format is the English text, the value the Chinese one
	joined         // the format stands between the messages
)

// M returns a message of an English format, in fmt's notation, and its values. Values that are messages or errors themselves
// are rendered in the same language.
func M(format string, args ...any) Message {
	if false {
		_ = fmt.Sprintf(format, args...) // lets go vet check the calls
	}
	return Message{format: format, args: args}
}

// In returns the text in a language. A format without a translation stays English.
func (m Message) In(l Lang) string {
	format := m.format
	if m.kind == joined {
		texts := make([]string, len(m.args))
		for i, arg := range m.args {
			texts[i] = arg.(Message).In(l)
		}
		return strings.Join(texts, map[Lang]string{English: format, Chinese: separators[format]}[l])
	}
	if m.kind == both {
		if l == Chinese {
			return m.args[0].(string)
		}
		return format
	}
	if m.kind == quoted && l == Chinese {
		return "原文“" + format + "”"
	}
	if l == Chinese && m.kind != plain {
		format = cmp.Or(chinese[format], format)
	}
	if m.kind != formatted {
		return format
	}
	args := make([]any, len(m.args))
	for i, arg := range m.args {
		switch inner := arg.(type) {
		case Message:
			arg = inner.In(l)
		case error:
			arg = ErrorMessage(inner).In(l)
		}
		args[i] = arg
	}
	return fmt.Sprintf(format, args...)
}

// String returns the English text.
func (m Message) String() string { return m.In(English) }

// MarshalText returns the English text, which is what JSON documents have.
func (m Message) MarshalText() ([]byte, error) { return []byte(m.In(English)), nil }

// Mark returns an English text that is kept as a string until Marked makes a message of it.
func Mark(text string) string { return text }

// Marked returns the message of a text that Mark has marked.
func Marked(text string) Message { return Message{format: text, kind: marked} }

// Filled returns the message of a format that Mark has marked, and its values.
func Filled(format string, args ...any) Message { return Message{format: format, args: args} }

// Both returns the message of a text in each language, such as one that was translated where it was found.
func Both(en, zh string) Message { return Message{format: en, args: []any{zh}, kind: both} }

// Plain returns the message of a text that is the same in every language, such as a number or an outcome.
func Plain(text string) Message { return Message{format: text, kind: plain} }

// Quoted returns the message of a text of a driver, of JD or of the system, such as the error of a job. Chinese marks it as quoted.
func Quoted(text string) Message { return Message{format: text, kind: quoted} }

// separators are those of Join, with their Chinese forms.
var separators = map[string]string{"; ": "；", ", ": "，"}

// Join returns messages one after the other, with "; " or ", " between them, as the language writes it.
func Join(messages []Message, separator string) Message {
	m := Message{format: separator, kind: joined}
	for _, inner := range messages {
		m.args = append(m.args, inner)
	}
	return m
}

// IsZero reports whether the message is the empty text.
func (m Message) IsZero() bool { return m.format == "" }

// UnmarshalText makes the message of a text that MarshalText has written: it is English in every language.
func (m *Message) UnmarshalText(text []byte) error {
	*m = Plain(string(text))
	return nil
}

// Error is an error that people read in their language. Its Error method returns the English text.
type Error struct {
	Message
	cause error
}

// Errorf returns an Error of an English format, in fmt's notation without %w, and its values. It wraps the values that are
// errors.
func Errorf(format string, args ...any) error {
	e := &Error{Message: M(format, args...)}
	var causes []error
	for _, arg := range args {
		if err, ok := arg.(error); ok {
			causes = append(causes, err)
		}
	}
	e.cause = errors.Join(causes...)
	return e
}

// Error returns the English text.
func (e *Error) Error() string { return e.In(English) }

// Unwrap returns the values that are errors, nil if there is none.
func (e *Error) Unwrap() error { return e.cause }

// ErrorMessage returns the message of an error: its own if it is an Error, else its text, which Chinese quotes.
func ErrorMessage(err error) Message {
	if e, ok := err.(*Error); ok { // a wrapped one's message would lack the text around it
		return e.Message
	}
	return Quoted(err.Error())
}
