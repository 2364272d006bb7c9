package config

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/tailscale/hujson"
)

const schemaPath = "../../configs/appsettings.schema.json"

func TestSchemaIsCurrent(t *testing.T) {
	var want bytes.Buffer
	e := json.NewEncoder(&want)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(schema()); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(schemaPath, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(schemaPath)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(got), want.String()); diff != "" {
		t.Errorf("configs/appsettings.schema.json is stale; run: go test ./internal/config -update\n%s", diff)
	}
}

func TestSampleNamesTheSchema(t *testing.T) {
	content, err := os.ReadFile(samplePath)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(content, []byte(`"$schema": "./appsettings.schema.json"`)) {
		t.Error("the sample does not name its schema")
	}
	if err := validate(t, content); err != nil {
		t.Error(err)
	}
}

// TestSchemaAcceptsWhatIsLoaded and refuses what is a fault or an unknown key, as far as a schema can tell.
func TestSchemaAcceptsWhatIsLoaded(t *testing.T) {
	for content, valid := range map[string]bool{
		minimal:                true,
		"{" + legacyFlat + "}": true,
		`{"EMQPort": 1883, "JDPayMd5Key": ["a", "b"]}`:                                                                       true,
		`{"Dev001.ThirdService": {` + legacyFlat + `}, "Serilog": {"x": 1}, "AllowedHosts": "*"}`:                            true,
		`{"Logging": {"LogLevel": {"Default": "warning", "Microsoft": "Warning"}, "Console": {}, "Format": "JSON"}}`:         true,
		`{"ConnectionStrings": {"Hangfire": "x"}}`:                                                                           true,
		`{"JDPay": {"Md5Key": "one"}, "SyncReply": {"Md5Key": []}}`:                                                          true,
		`{"JDPay": {"SignProfile": {"Name": "data_key", "SkipEmpty": "False"}}}`:                                             true,
		`{"Mqtt": {"Port": "1884", "RequireReply": "True", "ReplyTimeout": "00:00:30", "CommandTtl": 900}}`:                  true,
		`{"Host": {"ShutdownTimeout": "1h30m"}, "Jobs": {"KeepDone": "7.00:00:00", "Retry": {"settle": {"Timeout": null}}}}`: true,
		`{"Payment": {"PayTypes": {"WXPAY": 2, "ALIPAY": "3"}}, "JDApi": {"Headers": {"X": "y"}, "MaxPerSecond": 0.5}}`:      true,

		`{"Mqtt": {"Sever": "x"}}`:                             false,
		`{"Mqtt": {"Port": 70000}}`:                            false,
		`{"Mqtt": {"Port": "many"}}`:                           false,
		`{"EMQPort": "188x"}`:                                  false,
		`{"Mqtt": {"RequireReply": "perhaps"}}`:                false,
		`{"Mqtt": {"ReplyTimeout": "soon"}}`:                   false,
		`{"Mqtt": "x"}`:                                        false,
		`{"Payment": {"AmountUnit": "dollar"}}`:                false,
		`{"Payment": {"PayTypes": {"WXPAY": "two"}}}`:          false,
		`{"Jobs": {"Concurrency": {"settle": 0}}}`:             false,
		`{"Jobs": {"Retry": {"settle": {"FirstWiat": "1s"}}}}`: false,
		`{"Logging": {"LogLevel": {"Default": "loud"}}}`:       false,
		`{"JDPay": {"SignProfile": "md5"}}`:                    false,
	} {
		if err := validate(t, []byte(content)); (err == nil) != valid {
			t.Errorf("%s: %v", content, err)
		}
		opts := testOptions(t)
		write(t, opts.Dir, "base.json", minimal)
		write(t, opts.Dir, "more.json", content)
		opts.Files = []string{"base.json", "more.json"}
		if loaded, err := Load(opts); (err == nil && len(loaded.Unknown) == 0) != valid {
			t.Errorf("the loader disagrees about %s: %v %v", content, err, loaded.Unknown)
		}
	}
}

// validate checks an appsettings file against the schema.
func validate(t *testing.T, content []byte) error {
	t.Helper()
	c := jsonschema.NewCompiler()
	compiled, err := c.Compile(schemaPath)
	if err != nil {
		t.Fatal(err)
	}
	standard, err := hujson.Standardize(bytes.Clone(content))
	if err != nil {
		t.Fatal(err)
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(standard))
	if err != nil {
		t.Fatal(err)
	}
	return compiled.Validate(instance)
}

type object = map[string]any

// schema writes the schema from the structure of Config, in draft 7, which all editors know.
func schema() object {
	root := object{
		"$schema": "http://json-schema.org/draft-07/schema#", "title": "appsettings.json of jdpay-listener",
		"description": "Generated from internal/config: run go test ./internal/config -update. Required keys are not demanded here, since they may come from environment variables.",
		"type":        "object", "properties": object{"$schema": object{"type": "string"}},
	}
	byKey := map[string]object{}
	for _, o := range defaults().options() {
		words := strings.Split(o.Key, ":")
		at := root
		for i, word := range words {
			properties := at["properties"].(object)
			if i == len(words)-1 {
				byKey[o.Key] = valueSchema(o)
				properties[word] = byKey[o.Key]
				break
			}
			if properties[word] == nil {
				properties[word] = section(words[0])
			}
			at = properties[word].(object)
		}
	}
	byKey["JDPay:SignProfile"]["anyOf"] = append(byKey["JDPay:SignProfile"]["anyOf"].([]any), object{"type": "object"}) // its options below it
	legacy := object{"type": "object", "description": "Flat keys of the replaced program.", "properties": object{}}
	for _, l := range legacyKeys {
		flat := object{"allOf": []any{object{"$ref": "#/properties/" + strings.ReplaceAll(l.Key, ":", "/properties/")}}, "description": "The replaced program's name of " + l.Key + "."}
		if t := reflect.TypeFor[int](); kindOf(l.Key) == t { // an empty text counts as not set
			flat = object{"anyOf": []any{flat["allOf"].([]any)[0], object{"const": ""}}, "description": flat["description"]}
		}
		root["properties"].(object)[l.Flat] = flat
		legacy["properties"].(object)[l.Flat] = flat
	}
	root["properties"].(object)[legacySection] = legacy
	return root
}

func kindOf(key string) reflect.Type {
	for _, o := range defaults().options() {
		if o.Key == key {
			return o.Value.Type()
		}
	}
	return nil
}

// section is the schema of a section. .NET has log categories, log providers and other programs' databases in two of ours.
func section(name string) object {
	s := object{"type": "object", "properties": object{}}
	if name != "Logging" && name != "ConnectionStrings" {
		s["additionalProperties"] = false
	}
	return s
}

// valueSchema is the schema of one key.
func valueSchema(o option) object {
	doc := o.Tag.Get("doc")
	def, hasDefault := o.Tag.Lookup("default")
	switch {
	case o.Tag.Get("required") == "true" && !hasDefault:
		doc += " REQUIRED."
	case hasDefault:
		doc += " Default: " + def + "."
	}
	if o.Tag.Get("live") == "true" {
		doc += " Applies without a restart."
	}
	t := o.Value.Type()
	switch {
	case t.Kind() == reflect.Slice:
		item := scalar(t.Elem(), o.Tag)
		return object{"description": doc, "anyOf": []any{object{"type": "array", "items": object{"anyOf": item}}, object{"anyOf": item}}}
	case t.Kind() == reflect.Map && isSection(t.Elem()):
		sub := object{"type": "object", "additionalProperties": false, "properties": object{}}
		for _, s := range options("", reflect.New(t.Elem()).Elem()) {
			sub["properties"].(object)[s.Key] = valueSchema(s)
		}
		return object{"description": doc, "type": "object", "properties": named(o, sub), "additionalProperties": sub}
	case t.Kind() == reflect.Map:
		item := object{"anyOf": scalar(t.Elem(), o.Tag)}
		return object{"description": doc, "type": "object", "properties": named(o, item), "additionalProperties": item}
	}
	return object{"description": doc, "anyOf": scalar(t, o.Tag)}
}

// named gives the names of a map's defaults, for editors to offer.
func named(o option, item object) object {
	names := object{}
	for _, name := range o.Value.MapKeys() {
		names[name.String()] = item
	}
	return names
}

// scalar lists the forms of one value: as JSON has it, as a text, and null, which says nothing about its key.
func scalar(t reflect.Type, tag reflect.StructTag) []any {
	null := object{"type": "null"}
	lo, hi, ranged := strings.Cut(tag.Get("range"), "..")
	number := func(kind, pattern string) []any {
		n := object{"type": kind}
		if ranged {
			low, _ := strconv.ParseFloat(lo, 64) // inRange's test reads them
			high, _ := strconv.ParseFloat(hi, 64)
			n["minimum"], n["maximum"] = low, high
		}
		return []any{n, object{"type": "string", "pattern": pattern}, null}
	}
	switch t {
	case reflect.TypeFor[time.Duration]():
		return []any{
			object{"type": "string", "pattern": `^\s*((\d+\.)?\d{1,2}:\d{1,2}(:\d{1,2}(\.\d{1,7})?)?|\d+(\.\d+)?|(\d+(\.\d+)?(h|m|s|ms|us|µs|ns))+)\s*$`},
			object{"type": "number", "exclusiveMinimum": 0},
			null,
		}
	case reflect.TypeFor[slog.Level]():
		names := make([]string, len(levels))
		for i, l := range levels {
			names[i] = l.name
		}
		return append(words(names), null)
	}
	switch t.Kind() {
	case reflect.Bool:
		return []any{object{"type": "boolean"}, object{"type": "string", "pattern": `^\s*(` + anyCase("true") + "|" + anyCase("false") + `|[tTfF01])\s*$`}, null}
	case reflect.Int:
		return number("integer", `^\s*[+-]?\d+\s*$`)
	case reflect.Float64:
		return number("number", `^\s*[+-]?\d+(\.\d+)?([eE][+-]?\d+)?\s*$`)
	}
	if allowed := tag.Get("oneof"); allowed != "" {
		return append(words(strings.Fields(allowed)), null)
	}
	return []any{object{"type": []any{"string", "number", "boolean", "null"}}}
}

// words are texts for editors to offer, which may be written in any case.
func words(names []string) []any {
	forms := make([]string, len(names))
	for i, name := range names {
		forms[i] = anyCase(name)
	}
	return []any{object{"enum": names}, object{"type": "string", "pattern": "^(" + strings.Join(forms, "|") + ")$"}}
}

func anyCase(word string) string {
	var b strings.Builder
	for _, r := range word {
		if unicode.IsLetter(r) {
			b.WriteString("[" + string(unicode.ToUpper(r)) + string(unicode.ToLower(r)) + "]")
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
