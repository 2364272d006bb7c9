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

const docsPath = "../../docs/configuration.md"

var update = flag.Bool("update", false, "rewrite docs/configuration.md and configs/appsettings.schema.json")

// docsTail begins the part that is written by hand; tests of sqldb and daemon compare its tables with the code.
const docsTail = "\n## Connection strings\n"

func TestDocumentationIsCurrent(t *testing.T) {
	got, err := os.ReadFile(docsPath)
	if err != nil {
		t.Fatal(err)
	}
	_, tail, found := strings.Cut(string(got), docsTail)
	if !found {
		t.Fatalf("docs/configuration.md has no section %q", docsTail)
	}
	want := markdown() + docsTail + tail
	if *update {
		if err := os.WriteFile(docsPath, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(string(got), want); diff != "" && !*update {
		t.Errorf("docs/configuration.md is stale; run: go test ./internal/config -update\n%s", diff)
	}
}

func TestEveryOptionIsDocumented(t *testing.T) {
	for _, o := range new(Config).options() {
		if doc := o.Tag.Get("doc"); !strings.HasSuffix(doc, ".") {
			t.Errorf("the doc tag of %s is no sentence: %q", o.Key, doc)
		}
	}
}

// markdown writes docs/configuration.md from the structure of Config.
func markdown() string {
	var b strings.Builder
	b.WriteString(docsHead)
	section := ""
	for _, o := range defaults().options() {
		if name, _, _ := strings.Cut(o.Key, ":"); name != section {
			section = name
			fmt.Fprintf(&b, "\n### %s\n\n| key | type | default | |\n|---|---|---|---|\n", section)
		}
		doc := o.Tag.Get("doc")
		if words := o.Tag.Get("oneof"); words != "" {
			doc += " One of `" + strings.ReplaceAll(words, " ", "`, `") + "`."
		}
		if lo, hi, ok := strings.Cut(o.Tag.Get("range"), ".."); ok {
			doc += " " + lo + " to " + hi + "."
		}
		if o.Tag.Get("live") == "true" {
			doc += " **Live.**"
		}
		key := o.Key
		if o.Value.Kind() == reflect.Map {
			key += ":{name}"
			if isSection(o.Value.Type().Elem()) {
				key += ":{" + strings.Join(fieldNames(o.Value.Type().Elem()), ",") + "}"
			}
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", key, typeName(o.Value.Type()), docsDefault(o), strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(doc))
	}
	b.WriteString("\n### Retry schedules (`Jobs:Retry`)\n\n| kind | FirstWait | Factor | MaxWait | Timeout |\n|---|---|---|---|---|\n")
	retries := defaultRetry()
	for _, kind := range sortedKeys(retries) {
		r := retries[kind]
		timeout := formatDuration(r.Timeout)
		if kind == commandKind {
			timeout = "`Mqtt:CommandTtl`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %g | %s | %s |\n", kind, formatDuration(r.FirstWait), r.Factor, formatDuration(r.MaxWait), timeout)
	}
	b.WriteString(docsLegacy)
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

func typeName(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "duration"
	case reflect.TypeFor[slog.Level]():
		return "level"
	case secretType:
		return "secret"
	case reflect.TypeFor[Retry]():
		return "schedule"
	}
	switch t.Kind() {
	case reflect.Slice:
		return "list of " + typeName(t.Elem())
	case reflect.Map:
		return typeName(t.Elem()) + " by name"
	case reflect.Bool:
		return "true/false"
	case reflect.Int:
		return "whole number"
	case reflect.Float64:
		return "number"
	}
	return "text"
}

func docsDefault(o option) string {
	def, ok := o.Tag.Lookup("default")
	switch {
	case o.Key == "Jobs:Retry":
		return "see below"
	case o.Key == "SyncReply:Md5Key":
		return "`JDPay:Md5Key`"
	case o.Key == "Host:Instance":
		return "made up"
	case ok:
		return "`" + strings.ReplaceAll(def, ",", "`, `") + "`"
	case o.Tag.Get("required") == "true":
		return "**required**"
	case o.Value.Kind() == reflect.Slice, o.Value.Kind() == reflect.Map:
		return "none"
	}
	return "empty"
}

const docsHead = `# Configuration

<!-- Generated from internal/config, down to the connection strings: edit the doc tags there, then run go test ./internal/config -update -->

[configs/appsettings.json](../configs/appsettings.json) holds every key with its default, to copy from. Its ` + "`$schema`" + ` names
[appsettings.schema.json](../configs/appsettings.schema.json), with which editors complete and check the keys: copy both.
` + "`jdpay-listener config check`" + ` prints every value in force with its source, and all faults at once.

## Sources

Later wins:

1. the defaults below
2. ` + "`appsettings.json`" + `, then ` + "`appsettings.{Environment}.json`" + `, each from the working directory or else from ` + "`configs/`" + `;
   the environment is ` + "`DOTNET_ENVIRONMENT`, else `ASPNETCORE_ENVIRONMENT`, else `Production`" + `.
   ` + "`--config FILE`" + ` (repeatable, merged in order) takes the place of both
3. environment variables: ` + "`Mqtt__Server=…`, list elements `JDPay__Md5Key__0=…`" + `
4. the same with the prefix ` + "`JDPAY_`: `JDPAY_Mqtt__Server=…`" + `
5. flags: ` + "`--set Mqtt:Server=…`" + `; keys of type secret are refused here, since every user of the machine can read a program's flags

A secret may stand in a file of its own: ` + "`Mqtt__Password_FILE=/run/secrets/mqtt`" + ` reads it from there, without the newline at
its end. This works for every key of type secret below, connection strings included.

- Keys are case-insensitive. Files may hold comments and trailing commas. A key given twice in one file is a fault.
- An unknown key is a warning, which names a known one that is spelled nearly so. What .NET's hosts and log libraries keep in the
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
