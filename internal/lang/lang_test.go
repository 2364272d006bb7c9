package lang

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestEveryTextHasItsTranslation reads the program's source. Each text that is given to M, Mark or Errorf, and the help of each
// command and flag of jdpay-listener, must be written there as a constant and have a translation with the same values in it;
// each translation must be of such a text.
func TestEveryTextHasItsTranslation(t *testing.T) {
	texts := textsOfTheProgram(t)
	if len(texts) < 40 {
		t.Fatalf("only %d texts were found: the search is broken", len(texts))
	}
	for text, place := range texts {
		translation, ok := chinese[text]
		switch {
		case !ok:
			t.Errorf("%s: %q has no Chinese translation", place, text)
		case !slices.Equal(verbs(t, text), verbs(t, translation)):
			t.Errorf("%s: %q has the values %q, its translation %q has %q", place, text, verbs(t, text), translation, verbs(t, translation))
		case strings.Count(text, "`") != strings.Count(translation, "`"):
			t.Errorf("%s: %q and its translation %q do not name the same commands", place, text, translation)
		}
	}
	for text := range chinese {
		if texts[text] == "" {
			t.Errorf("the translation of %q is of no text of the program", text)
		}
	}
}

// TestTablesDoNotContradict: a text that is in two tables would have one translation or the other.
func TestTablesDoNotContradict(t *testing.T) {
	n := 0
	for _, table := range tables {
		n += len(table)
	}
	if n != len(chinese) {
		t.Errorf("%d translations of %d texts: a text is in two tables", n, len(chinese))
	}
}

// textsOfTheProgram returns the texts that need a translation, with a place of each.
func textsOfTheProgram(t *testing.T) map[string]string {
	t.Helper()
	root := filepath.Join("..", "..")
	texts := map[string]string{}
	for _, folder := range []string{"cmd", "internal"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") {
				return err
			}
			if strings.HasSuffix(path, ".html") {
				return textsOfTemplates(path, texts)
			}
			if !strings.HasSuffix(path, ".go") {
				return nil
			}
			source, err := os.ReadFile(path)
			hasHelp := strings.Contains(path, "jdpay-listener")
			if text := string(source); err != nil || !hasHelp && !strings.Contains(text, "lang.") && !strings.Contains(text, ` where:"`) {
				return err
			}
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, path, source, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				expr := textIn(n, hasHelp)
				if expr == nil {
					return true
				}
				place := files.Position(expr.Pos()).String()
				if text, ok := constant(expr); ok {
					texts[text] = place
				} else {
					t.Errorf("%s: the text is no constant", place)
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return texts
}

// templateText is a text in a template: {{.T "…"}}, {{$.T "…" .Value}}.
var templateText = regexp.MustCompile(`\.T ("(?:[^"\\]|\\.)*")`)

// textsOfTemplates adds the texts of a template.
func textsOfTemplates(path string, texts map[string]string) error {
	source, err := os.ReadFile(path)
	for _, m := range templateText.FindAllStringSubmatch(string(source), -1) {
		text, errQuote := strconv.Unquote(m[1])
		texts[text], err = path, errors.Join(err, errQuote)
	}
	return err
}

// textIn returns the text of a call of lang.M, lang.Mark or lang.Errorf and, with help, that of a command or a flag; nil for
// any other node.
func textIn(n ast.Node, help bool) ast.Expr {
	switch n := n.(type) {
	case *ast.Field: // where a key of the configuration has its value from
		if n.Tag != nil {
			tag, _ := strconv.Unquote(n.Tag.Value)
			if where, ok := reflect.StructTag(tag).Lookup("where"); ok {
				return &ast.BasicLit{ValuePos: n.Pos(), Kind: token.STRING, Value: strconv.Quote(where)}
			}
		}
	case *ast.KeyValueExpr:
		if key, ok := n.Key.(*ast.Ident); ok && help && (key.Name == "Short" || key.Name == "Long") {
			return n.Value
		}
	case *ast.CallExpr:
		f, ok := n.Fun.(*ast.SelectorExpr)
		if !ok || len(n.Args) == 0 {
			return nil
		}
		pkg, _ := f.X.(*ast.Ident)
		switch {
		case pkg != nil && pkg.Name == "lang" && slices.Contains([]string{"M", "Mark", "Errorf"}, f.Sel.Name):
			return n.Args[0]
		case help && strings.HasSuffix(f.Sel.Name, "Var") && len(n.Args) == 4: // cmd.Flags().BoolVar(&all, "all", false, "…")
			return n.Args[3]
		}
	}
	return nil
}

// constant returns the value of string literals, added or alone.
func constant(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		left, ok := constant(e.X)
		right, also := constant(e.Y)
		return left + right, ok && also && e.Op == token.ADD
	}
	return "", false
}

var verb = regexp.MustCompile(`%(?:\[(\d+)\])?([-+# 0]*[0-9]*(?:\.[0-9]+)?[a-zA-Z%])`)

// verbs returns the values of a format in the order of the arguments: "1 d", "2 s".
func verbs(t *testing.T, format string) []string {
	t.Helper()
	var out []string
	next := 1
	for _, m := range verb.FindAllStringSubmatch(format, -1) {
		if m[2] == "%" {
			continue
		}
		if m[1] != "" {
			n, err := strconv.Atoi(m[1])
			if err != nil {
				t.Fatal(err)
			}
			next = n
		}
		out = append(out, strconv.Itoa(next)+" "+m[2])
		next++
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func TestMessage(t *testing.T) {
	for _, c := range []struct {
		message Message
		en, zh  string
	}{
		{M("%d of %d sent, %d complete", 1, 2, 3), "1 of 2 sent, 3 complete", "已发送 1/2，已完成 3"},
		{M("no translation: 100%% of %s", M("yours")), "no translation: 100% of yours", "no translation: 100% of 您发送的"},
		{Marked(Mark("yours")), "yours", "您发送的"},
		{Plain("yours"), "yours", "yours"},
		{Marked("50% off"), "50% off", "50% off"},
		{Message{}, "", ""},
		{M("%d", 4711234), "4711234", "4711234"},
	} {
		if en, zh := c.message.In(English), c.message.In(Chinese); en != c.en || zh != c.zh {
			t.Errorf("got %q and %q, want %q and %q", en, zh, c.en, c.zh)
		}
	}
}

func TestOf(t *testing.T) {
	for _, c := range []struct {
		flag string
		env  map[string]string
		want Lang
		ok   bool
	}{
		{"", nil, English, true},
		{"", map[string]string{"LANG": "zh_CN.UTF-8"}, Chinese, true},
		{"", map[string]string{"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, English, true},
		{"", map[string]string{"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_TW"}, Chinese, true},
		{"en", map[string]string{"LANG": "zh_CN.UTF-8"}, English, true},
		{"zh", nil, Chinese, true},
		{"fr", nil, English, false},
	} {
		got, err := Of(c.flag, func(name string) string { return c.env[name] })
		if got != c.want || (err == nil) != c.ok {
			t.Errorf("%+v: got %q, %v", c, got, err)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		text string
		max  int
		want []string
	}{
		{"", 10, nil},
		{"one two three", 7, []string{"one two", "three"}},
		{"abcdefghij", 4, []string{"abcd", "efgh", "ij"}},
		{"柜机始终不回复", 6, []string{"柜机始", "终不回", "复"}},
		{"柜机，始终", 4, []string{"柜", "机，", "始终"}},
		{"柜机 (7 commands) 好", 10, []string{"柜机 (7", "commands)", "好"}},
	} {
		if got := Wrap(c.text, c.max); !slices.Equal(got, c.want) {
			t.Errorf("Wrap(%q, %d) = %q, want %q", c.text, c.max, got, c.want)
		}
	}
	if Left("柜机", 6)+"|" != "柜机  |" || Right("柜机", 6) != "  柜机" || Width("✓ 柜") != 4 {
		t.Errorf("%q, %q, %d", Left("柜机", 6), Right("柜机", 6), Width("✓ 柜"))
	}
}
