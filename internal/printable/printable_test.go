package printable

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	for name, tt := range map[string]struct{ in, want string }{
		"plain":                  {`R2026 paid 8.00 \ "ok"`, `R2026 paid 8.00 \ "ok"`},
		"empty":                  {"", ""},
		"Chinese":                {"寄件支付，成功！", "寄件支付，成功！"},
		"emoji":                  {"🚚📦 ok ❤️", "🚚📦 ok ❤️"},
		"joined emoji":           {"👨\u200d👩", `👨\u200d👩`},
		"combining accents":      {"é e\u0301 ü", "é e\u0301 ü"},
		"line feed":              {"R1\nR2 paid", `R1\nR2 paid`},
		"carriage return":        {"forged\rgood", `forged\rgood`},
		"tab":                    {"a\tb", `a\tb`},
		"terminal command":       {"\x1b[2J\x1b]0;owned\x07", `\x1b[2J\x1b]0;owned\a`},
		"8-bit terminal command": {"\u009b2J", `\u009b2J`},
		"NUL and DEL":            {"a\x00b\x7fc", `a\x00b\x7fc`},
		"text direction":         {"\u202eabc\u202c \u2066x\u2069 \u200e\u200f\u061c", `\u202eabc\u202c \u2066x\u2069 \u200e\u200f\u061c`},
		"line breaks of Unicode": {"a\u2028b\u2029c\u0085d", `a\u2028b\u2029c\u0085d`},
		"invisible characters":   {"a\u200bb\ufeffc\u00add\U000e0041", `a\u200bb\ufeffc\u00add\U000e0041`},
		"other spaces":           {"a\u00a0b\u3000c", `a\u00a0b\u3000c`},
		"not UTF-8":              {"a\xff\xe6\x8b", `a\xff\xe6\x8b`},
		"replacement character":  {"a\ufffdb", "a\ufffdb"},
		"private use":            {"\ue000", `\ue000`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Text(tt.in); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// hostile returns the characters of a text that must not be printed.
func hostile(s string) (found []rune) {
	for i, r := range s {
		_, size := utf8.DecodeRuneInString(s[i:])
		if unicode.In(r, unicode.C, unicode.Zl, unicode.Zp) || r == utf8.RuneError && size == 1 {
			found = append(found, r)
		}
	}
	return found
}

var seeds = []string{"", "R1", "寄件支付 🚚", "\x1b[2J\n\u202e\u2028\x00\x7f\u009b", "\xff\xfe\ufeff\U000e0041\ufffd", `\u202e "x"`}

func FuzzText(f *testing.F) {
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		out := Text(s)
		if found := hostile(out); len(found) > 0 {
			t.Errorf("%q becomes %q, with %q", s, out, found)
		}
		if Text(out) != out {
			t.Errorf("a second Text changes %q", out)
		}
		if len(hostile(s)) == 0 && !strings.ContainsFunc(s, func(r rune) bool { return unicode.Is(unicode.Zs, r) && r != ' ' }) && out != s {
			t.Errorf("%q needs no escape and becomes %q", s, out)
		}
	})
}

func FuzzJSON(f *testing.F) {
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		document, err := json.MarshalIndent(map[string]any{"text": s, s: 1}, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		out := JSON(document)
		if found := hostile(strings.ReplaceAll(string(out), "\n", "")); len(found) > 0 {
			t.Errorf("%q becomes %q, with %q", document, out, found)
		}
		var before, after any
		if err := json.Unmarshal(document, &before); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out, &after); err != nil || !reflect.DeepEqual(before, after) {
			t.Errorf("%v: %q is read as %v, want %v", err, out, after, before)
		}
	})
}

// TestLines logs hostile texts in every kind of value with both handlers.
func TestLines(t *testing.T) {
	const text = "a\u202eb\x1b[2J\nc\u009bd\x7f\u2028e\U000e0041"
	var out bytes.Buffer
	for name, handler := range map[string]slog.Handler{
		"json": slog.NewJSONHandler(Lines{&out}, nil), "text": slog.NewTextHandler(Lines{&out}, nil),
	} {
		t.Run(name, func(t *testing.T) {
			out.Reset()
			slog.New(handler).Error(text, "order_no", text, "delete", "\x7f", "list", []string{text}, text, 1, slog.Group("g", "x", text))
			line, more, _ := strings.Cut(out.String(), "\n")
			if found := hostile(line); more != "" || len(found) > 0 {
				t.Errorf("%q has %q", out.String(), found)
			}
		})
	}
}
