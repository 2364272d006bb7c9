package config

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Converted is an appsettings file made of others.
type Converted struct {
	Text     []byte   // the file: JSON with comments
	Secrets  []string // the keys of secrets whose values it has
	Required []string // the required keys that it leaves empty, each with what to do
	LeftOut  []string // top-level names in the old files that it does not have: other programs' and unknown ones
}

// Convert makes one appsettings file of others, such as the replaced program's. It has their values, not those of
// the environment, under the structured keys, each with a comment; required keys that they lack are empty in it. Its error
// is Faults if a file cannot be read or contradicts itself; a value that is not valid is taken over as it is.
func Convert(files ...string) (Converted, error) {
	src := collect(Options{Files: files, Environ: []string{}})
	if len(src.faults) > 0 {
		return Converted{}, src.faults
	}
	given := merge(src.layers)
	given.adoptLegacy()
	w := converter{given: given}
	names := make([]string, len(files))
	for i, file := range files {
		names[i] = filepath.Base(file)
	}
	w.comment(1, "Made of "+strings.Join(names, " and ")+` by "jdpay-listener config init". What is not here has its default: docs/configuration.md.`)
	w.section(1, reflect.ValueOf(defaults()).Elem(), "")
	for _, path := range sortedKeys(w.given) {
		name, _, _ := strings.Cut(w.given[path].given(), ":")
		if isOwnSection(name) {
			name = w.given[path].given()
		}
		if !slices.Contains(w.out.LeftOut, name) && name != "$schema" {
			w.out.LeftOut = append(w.out.LeftOut, name)
		}
	}
	w.out.Text = []byte("{\n" + strings.TrimSuffix(w.text.String(), ",\n") + "\n}\n")
	return w.out, nil
}

// converter writes the file. It removes from given what it has written.
type converter struct {
	given layer
	text  strings.Builder
	out   Converted
}

func (w *converter) line(text string) { w.text.WriteString(text + "\n") }

// commentWidth is about where lines of comments end.
const commentWidth = 110

func (w *converter) comment(depth int, text string) {
	line := strings.Repeat("  ", depth) + "//"
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > commentWidth {
			w.line(line)
			line = strings.Repeat("  ", depth) + "//"
		}
		line += " " + word
	}
	w.line(line)
}

// section writes the keys of a section that were given or are required.
func (w *converter) section(depth int, section reflect.Value, prefix string) {
	indent := strings.Repeat("  ", depth)
	for i := range section.NumField() {
		field := section.Type().Field(i)
		key := prefix + field.Name
		if !isSection(field.Type) {
			w.option(depth, option{Key: key, Value: section.Field(i), Tag: field.Tag})
			continue
		}
		inner := converter{given: w.given}
		inner.section(depth+1, section.Field(i), key+":")
		if inner.text.Len() > 0 {
			w.line(indent + strconv.Quote(field.Name) + ": {")
			w.line(strings.TrimSuffix(inner.text.String(), ",\n"))
			w.line(indent + "},")
		}
		w.out.Secrets, w.out.Required = append(w.out.Secrets, inner.out.Secrets...), append(w.out.Required, inner.out.Required...)
	}
}

func (w *converter) option(depth int, o option) {
	values := w.cut(o)
	_, hasDefault := o.Tag.Lookup("default")
	missing := len(values) == 0 && o.Tag.Get("required") == "true" && !hasDefault
	if len(values) == 0 && !missing {
		return
	}
	name := o.Key[strings.LastIndex(o.Key, ":")+1:]
	if missing {
		remedy := cmp.Or(o.Tag.Get("where"), o.Tag.Get("doc"))
		w.out.Required = append(w.out.Required, o.Key+": "+remedy)
		w.comment(depth, "REQUIRED: "+remedy)
		w.line(strings.Repeat("  ", depth) + strconv.Quote(name) + `: "",`)
		return
	}
	if o.isSecret() {
		w.out.Secrets = append(w.out.Secrets, o.Key)
	}
	var from []string
	for _, path := range sortedKeys(values) {
		at := filepath.Base(values[path].Source)
		if flat := values[path].Flat; flat != "" {
			at = flat + ", " + at
		}
		from = append(from, at)
	}
	w.comment(depth, o.Tag.Get("doc")+" ("+strings.Join(slices.Compact(from), "; ")+")")
	w.line(strings.Repeat("  ", depth) + strconv.Quote(name) + ": " + o.literal(values, "") + ",")
}

// cut removes and returns what was given for an option, by the path below it. What its form does not allow stays. An empty
// flat value is not set.
func (w *converter) cut(o option) layer {
	values := layer{}
	for path, e := range w.given {
		below, ok := strings.CutPrefix(path, strings.ToLower(o.Key))
		if !ok || below != "" && below[0] != ':' || !slices.ContainsFunc(knownKeys, func(k knownKey) bool { return k.matches(e.Key) }) {
			continue
		}
		delete(w.given, path)
		if e.Text != "" || e.Flat == "" {
			values[below] = e
		}
	}
	return values
}

// literal writes the values below a path as JSON: one value, a list, or an object.
func (o option) literal(values layer, path string) string {
	if e, ok := values[path]; ok {
		return o.scalar(e.Text)
	}
	names := map[string]string{} // as spelled, by lower case
	isList := true
	for below, e := range values {
		rest, ok := strings.CutPrefix(below, path+":")
		if !ok {
			continue
		}
		lower, _, _ := strings.Cut(rest, ":")
		names[lower] = strings.Split(e.Key, ":")[strings.Count(o.Key, ":")+strings.Count(path, ":")+1]
		_, err := strconv.ParseUint(lower, 10, 16)
		isList = isList && err == nil && o.Value.Kind() == reflect.Slice
	}
	var items []string
	for _, lower := range slices.SortedFunc(maps.Keys(names), byIndex) {
		item := o.literal(values, path+":"+lower)
		if !isList {
			item = quoted(names[lower]) + ": " + item
		}
		items = append(items, item)
	}
	if isList {
		return "[" + strings.Join(items, ", ") + "]"
	}
	return "{ " + strings.Join(items, ", ") + " }"
}

// scalar writes one value: bare if it is a number or true or false and the option holds such.
func (o option) scalar(text string) string {
	t := o.Value.Type()
	if t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.String && t != secretType && json.Valid([]byte(text)) && !strings.ContainsAny(text, `"{[n`) {
		return text
	}
	return quoted(text)
}

// byIndex compares numbers by value, and texts as such.
func byIndex(a, b string) int {
	m, errA := strconv.Atoi(a)
	n, errB := strconv.Atoi(b)
	if errA == nil && errB == nil {
		return cmp.Compare(m, n)
	}
	return strings.Compare(a, b)
}

// quoted is a text as JSON.
func quoted(text string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(text); err != nil {
		panic(fmt.Sprintf("config: a text is not JSON: %v", err)) // cannot happen with a text
	}
	return strings.TrimSuffix(b.String(), "\n")
}
