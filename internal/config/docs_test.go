package config

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite docs/configuration.md, docs/zh/configuration.md and configs/appsettings.schema.json")

// document is docs/configuration.md in one language. Its tail is written by hand; tests of sqldb and daemon compare the
// tables there with the code.
type document struct {
	path, head, legacy, tail string
	words                    map[string]string // the language's form of types, defaults and phrases; nil: English
	docs                     map[string]string // of doc tags; nil: English
}

var documents = map[string]document{
	"English": {"../../docs/configuration.md", docsHead, docsLegacy, "\n## Connection strings\n", nil, nil},
	"Chinese": {"../../docs/zh/configuration.md", chineseHead, chineseLegacy, "\n## 连接字符串\n", chineseWords, chineseDocs},
}

func TestDocumentationIsCurrent(t *testing.T) {
	for name, d := range documents {
		t.Run(name, func(t *testing.T) {
			got, err := os.ReadFile(d.path)
			if err != nil {
				t.Fatal(err)
			}
			_, tail, found := strings.Cut(string(got), d.tail)
			if !found {
				t.Fatalf("%s has no section %q", d.path, d.tail)
			}
			want := d.markdown() + d.tail + tail
			if *update {
				if err := os.WriteFile(d.path, []byte(want), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(got), want); diff != "" && !*update {
				t.Errorf("%s is stale; run: go test ./internal/config -update\n%s", d.path, diff)
			}
		})
	}
}

// TestEveryOptionIsTranslated compares the doc tags with chineseDocs.
func TestEveryOptionIsTranslated(t *testing.T) {
	used := map[string]bool{}
	for _, o := range new(Config).options() {
		doc := o.Tag.Get("doc")
		used[doc] = true
		if !strings.HasSuffix(chineseDocs[doc], "。") {
			t.Errorf("%s: chineseDocs (docs_chinese_test.go) has no Chinese sentence for %q", o.Key, doc)
		}
	}
	for doc := range chineseDocs {
		if !used[doc] {
			t.Errorf("chineseDocs (docs_chinese_test.go) translates %q, which no option has", doc)
		}
	}
}

func TestEveryOptionIsDocumented(t *testing.T) {
	for _, o := range new(Config).options() {
		if doc := o.Tag.Get("doc"); !strings.HasSuffix(doc, ".") {
			t.Errorf("the doc tag of %s is no sentence: %q", o.Key, doc)
		}
	}
}

// in returns the language's form of a word or phrase.
func (d document) in(text string) string {
	if d.words == nil {
		return text
	}
	return d.words[text]
}

// markdown writes the document from the structure of Config.
func (d document) markdown() string {
	var b strings.Builder
	b.WriteString(d.head)
	section := ""
	for _, o := range defaults().options() {
		if name, _, _ := strings.Cut(o.Key, ":"); name != section {
			section = name
			fmt.Fprintf(&b, "\n### %s\n\n| %s | %s | %s | |\n|---|---|---|---|\n", section, d.in("key"), d.in("type"), d.in("default"))
		}
		doc := o.Tag.Get("doc")
		if d.docs != nil {
			doc = d.docs[doc]
		}
		if words := o.Tag.Get("oneof"); words != "" {
			doc += fmt.Sprintf(d.in(" One of `%s`."), strings.ReplaceAll(words, " ", "`, `"))
		}
		if lo, hi, ok := strings.Cut(o.Tag.Get("range"), ".."); ok {
			doc += fmt.Sprintf(d.in(" %s to %s."), lo, hi)
		}
		if o.Tag.Get("live") == "true" {
			doc += d.in(" **Live.**")
		}
		key := o.Key
		if o.Value.Kind() == reflect.Map {
			key += ":{name}"
			if isSection(o.Value.Type().Elem()) {
				key += ":{" + strings.Join(fieldNames(o.Value.Type().Elem()), ",") + "}"
			}
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", key, d.typeName(o.Value.Type()), d.defaultOf(o), strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(doc))
	}
	fmt.Fprintf(&b, "\n### %s (`Jobs:Retry`)\n\n| %s | FirstWait | Factor | MaxWait | Timeout |\n|---|---|---|---|---|\n", d.in("Retry schedules"), d.in("kind"))
	retries := defaultRetry()
	for _, kind := range sortedKeys(retries) {
		r := retries[kind]
		timeout := FormatDuration(r.Timeout)
		if kind == commandKind {
			timeout = "`Mqtt:CommandTtl`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %g | %s | %s |\n", kind, FormatDuration(r.FirstWait), r.Factor, FormatDuration(r.MaxWait), timeout)
	}
	b.WriteString(d.legacy)
	for _, l := range legacyKeys {
		fmt.Fprintf(&b, "| `%s` | `%s` |\n", l.Flat, l.Key)
	}
	return b.String()
}

func fieldNames(t reflect.Type) []string {
	names := make([]string, t.NumField())
	for i := range names {
		names[i] = t.Field(i).Name
	}
	return names
}

func (d document) typeName(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return d.in("duration")
	case reflect.TypeFor[slog.Level]():
		return d.in("level")
	case secretType:
		return d.in("secret")
	case reflect.TypeFor[Retry]():
		return d.in("schedule")
	}
	switch t.Kind() {
	case reflect.Slice:
		return fmt.Sprintf(d.in("list of %s"), d.typeName(t.Elem()))
	case reflect.Map:
		return fmt.Sprintf(d.in("%s by name"), d.typeName(t.Elem()))
	case reflect.Bool:
		return d.in("true/false")
	case reflect.Int:
		return d.in("whole number")
	case reflect.Float64:
		return d.in("number")
	}
	return d.in("text")
}

func (d document) defaultOf(o option) string {
	def, ok := o.Tag.Lookup("default")
	switch {
	case o.Key == "Jobs:Retry":
		return d.in("see below")
	case o.Key == "SyncReply:Md5Key":
		return "`JDPay:Md5Key`"
	case o.Key == "Host:Instance":
		return d.in("made up")
	case ok:
		return "`" + strings.ReplaceAll(def, ",", "`, `") + "`"
	case o.Tag.Get("required") == "true":
		return d.in("**required**")
	case o.Value.Kind() == reflect.Slice, o.Value.Kind() == reflect.Map:
		return d.in("none")
	}
	return d.in("empty")
}

const docsHead = `# Configuration

<!-- Generated from internal/config, down to the connection strings: edit the doc tags there, then run go test ./internal/config -update -->

[configs/appsettings.json](../configs/appsettings.json) holds every key with its default, to copy from. Its ` + "`$schema`" + ` names
[appsettings.schema.json](../configs/appsettings.schema.json), with which editors complete and check the keys: copy both.
` + "`jdpay-listener config check`" + ` prints every value in force with its source, and all faults at once.

## Sources

Later wins:

1. the defaults below
2. files, merged in order: those that ` + "`--config FILE`" + ` names (repeatable); else those that the variable ` + "`JDPAY_CONFIG`" + ` names
   (` + "`a.json:b.json`" + `); else ` + "`appsettings.json`, then `appsettings.{Environment}.json`" + `, each from the working directory or else from
   ` + "`configs/`" + `; else, if there is none of them, the same two from ` + "`/etc/jdpay`" + `. The environment is ` + "`DOTNET_ENVIRONMENT`" + `, else
   ` + "`ASPNETCORE_ENVIRONMENT`, else `Production`" + `. The daemon and every command look for them alike; ` + "`config check`" + ` says which it took
3. environment variables: ` + "`Mqtt__Server=…`, list elements `JDPay__Md5Key__0=…`" + `
4. the same with the prefix ` + "`JDPAY_`: `JDPAY_Mqtt__Server=…`" + `
5. flags: ` + "`--set Mqtt:Server=…`" + `; keys of type secret are refused here, since every user of the machine can read a program's flags

A secret may stand in a file of its own: ` + "`Mqtt__Password_FILE=/run/secrets/mqtt`" + ` reads it from there, without the newline at
its end. This works for every key of type secret below, connection strings included.

- Keys are case-insensitive. Files may hold comments and trailing commas. A key given twice in one file is a fault.
- An unknown key is a warning, which names a known one that is spelled nearly so; so is ` + "`SyncReply:Fields:Time`" + ` of earlier versions,
  which had no effect. What .NET's hosts and log libraries keep in the
  same file (` + "`AllowedHosts`, `Kestrel`, `Serilog`, `Logging:Console`" + `, other connection strings, …) is ignored.
- Files are UTF-8, with or without a byte order mark.
- Lists merge by index across sources and sections by key, as in .NET; a list that is given replaces the default list. One
  value stands for a list of one, an empty text for an empty list. ` + "`null`" + ` says nothing about its key.
- Numbers and booleans may be strings. Durations are ` + "`\"30s\"`, `\"1h30m\"`, `\"00:00:30\"`, `\"1.02:03:04\"`" + ` (days.hours:minutes:seconds)
  or bare seconds.
- Changed files (those with secrets too) are read again. Keys marked **Live** apply at once, changes of others are
  logged as waiting for a restart, and a configuration with a fault is refused whole.

## Keys
`

const docsLegacy = `
## Keys of the replaced program

They work at the root or in a section named ` + "`Dev001.ThirdService`" + `. The root wins over the section, and the structured key
wins over both.

| flat key | structured key |
|---|---|
`
