package docs_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// translated are the documents that exist in English and in Chinese.
var translated = map[string]string{
	"../README.md":     "../README.zh-CN.md",
	"configuration.md": "zh/configuration.md",
	"migration.md":     "zh/migration.md",
	"operations.md":    "zh/operations.md",
	"replies.md":       "zh/replies.md",
	"sizing.md":        "zh/sizing.md",
}

// TestChineseDocuments requires that an English document and its translation have the same structure: sections, tables, code
// blocks, pictures, links, and in each section the same code. It names the section that differs. A change of the English text
// that changes none of these is not found.
func TestChineseDocuments(t *testing.T) {
	for english, chinese := range translated {
		t.Run(english, func(t *testing.T) {
			en, zh := sectionsOf(t, english), sectionsOf(t, chinese)
			for i := range min(len(en), len(zh)) {
				where := fmt.Sprintf("section %d, %q and %q", i, en[i].heading, zh[i].heading)
				for _, d := range en[i].differences(zh[i]) {
					t.Errorf("%s: %s", where, d)
				}
				if en[i].level != zh[i].level || len(en) != len(zh) && len(without(en[i].codes, zh[i].codes)) > len(en[i].codes)/2 {
					t.Fatalf("%s: the sections differ from here on, mend this one first\n%s: %q\n%s: %q", where, english, headings(en), chinese, headings(zh))
				}
			}
			if len(en) != len(zh) {
				t.Errorf("%d sections in %s, %d in %s", len(en), english, len(zh), chinese)
			}
			for _, s := range zh {
				for _, line := range s.english {
					t.Errorf("section %q: not translated: %s", s.heading, line)
				}
			}
		})
	}
}

// TestChineseDrawing: the drawing of a payment's way is the same in both languages, except for its texts.
func TestChineseDrawing(t *testing.T) {
	text := regexp.MustCompile(`>[^<>\n]+<`)
	shape := func(path string) string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, body, _ := strings.Cut(string(b), "</style>")
		return text.ReplaceAllString(body, "><")
	}
	if shape("payment.svg") != shape("zh/payment.svg") {
		t.Error("payment.svg and zh/payment.svg differ in more than their texts")
	}
}

// section is what must be the same in both languages of a section, and what shows that it is not translated.
type section struct {
	heading string
	level   int
	tables  []string // rows and columns of each
	blocks  []string // code blocks without their comments
	links   []string // a link within the translated documents is the number of its section
	codes   []string // inline code, sorted, each once
	items   int      // of lists
	english []string // lines without a Chinese character that are no code
}

func headings(sections []section) (list []string) {
	for _, s := range sections {
		list = append(list, strings.Repeat("#", s.level)+" "+s.heading)
	}
	return list
}

func (s section) differences(other section) (found []string) {
	compare := func(what string, a, b []string) {
		if slices.Equal(a, b) {
			return
		}
		found = append(found, fmt.Sprintf("%s: only in English %q, only in Chinese %q, of %d and %d", what, without(a, b), without(b, a), len(a), len(b)))
	}
	if s.level != other.level {
		found = append(found, fmt.Sprintf("the heading has level %d in English and %d in Chinese", s.level, other.level))
	}
	if s.items != other.items {
		found = append(found, fmt.Sprintf("%d list items in English, %d in Chinese", s.items, other.items))
	}
	compare("tables", s.tables, other.tables)
	compare("code blocks", s.blocks, other.blocks)
	compare("links", s.links, other.links)
	compare("code", s.codes, other.codes)
	return found
}

// without returns what is in a and not in b.
func without(a, b []string) (rest []string) {
	for _, x := range a {
		if !slices.Contains(b, x) {
			rest = append(rest, x)
		}
	}
	return rest
}

var (
	headingLine = regexp.MustCompile(`^(#+) (.*)$`)
	inlineCode  = regexp.MustCompile("``.+?``|`[^`]+`")
	link        = regexp.MustCompile(`\]\(([^)]+)\)`)
	listItem    = regexp.MustCompile(`^\s*(- |\d{1,2}\. )`)
	codeComment = regexp.MustCompile(`\s*(#|//).*$`)
	han         = regexp.MustCompile(`\p{Han}`)
	sentence    = regexp.MustCompile(`[a-z]+ [a-z]+ [a-z]+ [a-z]+`)
)

// sectionsOf splits a document into its sections.
func sectionsOf(t *testing.T, path string) []section {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sections := []section{{}}
	var codes map[string]bool
	var block *strings.Builder
	rows, columns, prose := 0, 0, strings.Builder{}
	endTable := func(s *section) {
		if rows > 0 {
			s.tables = append(s.tables, fmt.Sprintf("%d rows of %d", rows, columns))
		}
		rows = 0
	}
	endSection := func() {
		s := &sections[len(sections)-1]
		endTable(s)
		codes = map[string]bool{}
		for _, code := range inlineCode.FindAllString(prose.String(), -1) {
			codes[strings.Join(strings.Fields(code), " ")] = true
		}
		s.codes = slices.Sorted(maps.Keys(codes))
		bare := inlineCode.ReplaceAllString(prose.String(), "")
		for _, m := range link.FindAllStringSubmatch(bare, -1) {
			s.links = append(s.links, target(t, path, m[1]))
		}
		slices.Sort(s.links)
		for line := range strings.Lines(bare) {
			if !han.MatchString(line) && sentence.MatchString(line) && !strings.HasPrefix(line, "|") {
				s.english = append(s.english, strings.TrimSpace(line))
			}
		}
		prose.Reset()
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		s := &sections[len(sections)-1]
		fence := strings.HasPrefix(strings.TrimSpace(line), "```")
		switch m := headingLine.FindStringSubmatch(line); {
		case block != nil && fence:
			s.blocks = append(s.blocks, block.String())
			block = nil
		case block != nil:
			if line = strings.TrimRight(codeComment.ReplaceAllString(line, ""), " "); line != "" {
				block.WriteString(line + "\n")
			}
		case fence:
			endTable(s)
			block = &strings.Builder{}
			block.WriteString(line + "\n")
		case m != nil:
			endSection()
			sections = append(sections, section{heading: m[2], level: len(m[1])})
			prose.WriteString(line + "\n")
		case strings.HasPrefix(line, "|"):
			rows, columns = rows+1, strings.Count(strings.ReplaceAll(line, `\|`, ""), "|")-1
			prose.WriteString(line + "\n")
		case strings.HasPrefix(line, "<!--"):
		default:
			endTable(s)
			if listItem.MatchString(line) {
				s.items++
			}
			prose.WriteString(line + "\n")
		}
	}
	endSection()
	return sections
}

// target is a link's target in a form that is the same in both languages. A link to a section must have one.
func target(t *testing.T, from, to string) string {
	t.Helper()
	if strings.Contains(to, "://") {
		return to
	}
	file, anchor, _ := strings.Cut(to, "#")
	path := from
	if file != "" {
		path = filepath.Join(filepath.Dir(from), file)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("%s: the link to %s leads nowhere", from, to)
	}
	name := english(path)
	if anchor == "" {
		return name
	}
	for i, slug := range slugs(t, path) {
		if slug == anchor {
			return fmt.Sprintf("%s, section %d", name, i+1)
		}
	}
	t.Errorf("%s: the link to %s leads to no section", from, to)
	return name
}

// english is the path of the English form of a document or a picture.
func english(path string) string {
	for en, zh := range translated {
		if path == zh {
			return en
		}
	}
	if folder, name := filepath.Split(path); filepath.Clean(folder) == "zh" {
		return name
	} else if filepath.Clean(folder) == "../docs/zh" || filepath.Clean(folder) == "../docs" {
		return name
	}
	return path
}

// slugs returns the names under which a document's sections can be linked to.
func slugs(t *testing.T, path string) (names []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fenced := false
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
		}
		if m := headingLine.FindStringSubmatch(strings.TrimRight(line, "\n")); m != nil && !fenced {
			names = append(names, strings.Map(func(r rune) rune {
				switch {
				case r == ' ':
					return '-'
				case unicode.IsLetter(r), unicode.IsNumber(r), r == '-', r == '_':
					return unicode.ToLower(r)
				}
				return -1
			}, m[2]))
		}
	}
	return names
}
