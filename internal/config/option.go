package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"time"

	"jdpay-listener/internal/lang"
)

// option is one key of Config: a field that is no section. It holds a single value, a list, or a map.
type option struct {
	Key   string
	Value reflect.Value
	Tag   reflect.StructTag
}

var secretType = reflect.TypeFor[Secret]()

// isSection reports whether a type is a struct of keys, and not a value that is a struct.
func isSection(t reflect.Type) bool { return t.Kind() == reflect.Struct && t != secretType }

// options walks a section and returns its keys, in the order of the struct.
func options(prefix string, section reflect.Value) []option {
	var all []option
	for i := range section.NumField() {
		field := section.Type().Field(i)
		key := field.Name
		if prefix != "" {
			key = prefix + ":" + key
		}
		if isSection(field.Type) {
			all = append(all, options(key, section.Field(i))...)
			continue
		}
		all = append(all, option{Key: key, Value: section.Field(i), Tag: field.Tag})
	}
	return all
}

func (c *Config) options() []option { return options("", reflect.ValueOf(c).Elem()) }

// expand returns one option for each entry of a map, or else the option itself.
func (o option) expand() []option {
	if o.Value.Kind() != reflect.Map {
		return []option{o}
	}
	var all []option
	names := o.Value.MapKeys()
	slices.SortFunc(names, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	for _, name := range names {
		key, value := o.Key+":"+name.String(), o.Value.MapIndex(name)
		if isSection(value.Type()) {
			all = append(all, options(key, value)...)
		} else {
			all = append(all, option{Key: key, Value: value, Tag: o.Tag})
		}
	}
	return all
}

// raw is the option's text, secrets included; empty for other types.
func (o option) raw() string {
	switch x := o.Value.Interface().(type) {
	case string:
		return x
	case Secret:
		return x.Reveal()
	}
	return ""
}

// isSecret reports whether the option holds secrets, singly, in a list or in a map.
func (o option) isSecret() bool {
	t := o.Value.Type()
	if t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	return t == secretType
}

// display is the option's value for people: secrets masked, a list as JSON.
func (o option) display() string {
	if o.Value.Kind() != reflect.Slice {
		return o.mask(printed(o.Value))
	}
	items := make([]string, o.Value.Len())
	for i := range items {
		items[i] = printed(o.Value.Index(i))
	}
	list, err := json.Marshal(items)
	if err != nil {
		panic(fmt.Sprintf("config: a list of texts is not JSON: %v", err)) // cannot happen with texts
	}
	return string(list)
}

// mask hides the secret parts of a text given for the option: all of a secret, the credentials of an address.
func (o option) mask(text string) string {
	if o.isSecret() {
		return NewSecret(text).String()
	}
	if at := strings.LastIndex(text, "@"); at >= 0 && o.Tag.Get("address") == "true" {
		scheme, _, found := strings.Cut(text[:at], "://")
		if !found {
			return "***" + text[at:]
		}
		return scheme + "://***" + text[at:]
	}
	return text
}

// want says which values the option accepts, to complete the sentence "give …".
func (o option) want() lang.Message {
	lo, hi, ranged := strings.Cut(o.Tag.Get("range"), "..")
	if words := o.Tag.Get("oneof"); words != "" {
		return lang.M("one of %s", strings.ReplaceAll(words, " ", ", "))
	}
	t := o.Value.Type()
	if t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	whole := t == reflect.TypeFor[int]()
	switch t {
	case reflect.TypeFor[int](), reflect.TypeFor[float64]():
		switch {
		case whole && ranged:
			return lang.M("a whole number from %s to %s", lo, hi)
		case whole:
			return lang.M("a whole number")
		case ranged:
			return lang.M("a number from %s to %s", lo, hi)
		}
		return lang.M("a number")
	case reflect.TypeFor[bool]():
		return lang.M("true or false")
	case reflect.TypeFor[time.Duration]():
		return lang.M(`a duration above zero such as "30s" or "00:00:30"`)
	case reflect.TypeFor[slog.Level]():
		names := make([]string, len(levels))
		for i, l := range levels {
			names[i] = l.name
		}
		return lang.M("one of %s", strings.Join(names, ", "))
	}
	return lang.M("a text")
}

// defaults returns a Config with all defaults.
func defaults() *Config {
	c := new(Config)
	for _, o := range c.options() {
		def, ok := o.Tag.Lookup("default")
		if !ok {
			continue
		}
		var err error
		switch o.Value.Kind() {
		case reflect.Slice:
			for item := range strings.SplitSeq(def, ",") {
				v := reflect.New(o.Value.Type().Elem()).Elem()
				err = setText(v, item)
				o.Value.Set(reflect.Append(o.Value, v))
			}
		case reflect.Map:
			o.Value.Set(reflect.MakeMap(o.Value.Type()))
			for pair := range strings.SplitSeq(def, ",") {
				name, item, _ := strings.Cut(pair, "=")
				v := reflect.New(o.Value.Type().Elem()).Elem()
				err = setText(v, item)
				o.Value.SetMapIndex(reflect.ValueOf(name), v)
			}
		default:
			err = setText(o.Value, def)
		}
		if err != nil {
			panic(fmt.Sprintf("config: the default of %s is unreadable: %v", o.Key, err))
		}
	}
	c.Jobs.Retry = defaultRetry()
	return c
}
