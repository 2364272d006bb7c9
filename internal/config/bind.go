package config

import (
	"cmp"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"jdpay-listener/internal/lang"
)

// binder fills a Config from the merged layer. It removes the entries that it reads; those left at the end are unknown keys.
type binder struct {
	left    layer
	sources map[string]string // of each key that was given, by the key in lower case
	flats   map[string]string // the flat key of each key that was given by one, by the key in lower case
	faults  Faults
}

func (b *binder) bind(o option) {
	switch o.Value.Kind() {
	case reflect.Slice:
		b.list(o)
	case reflect.Map:
		b.table(o)
	default:
		b.single(o)
	}
}

// take removes and returns the value given for exactly this key.
func (b *binder) take(key string) (entry, bool) {
	path := strings.ToLower(key)
	e, ok := b.left[path]
	if ok {
		delete(b.left, path)
		b.sources[path] = e.Source
		if e.Flat != "" {
			b.flats[path] = e.Flat
		}
	}
	return e, ok
}

// names returns the words directly below key as they are spelled, sorted.
func (b *binder) names(key string) []string {
	at := strings.Count(key, ":") + 1
	found := map[string]bool{}
	for path, e := range b.left {
		if strings.HasPrefix(path, strings.ToLower(key)+":") {
			found[strings.Split(e.Key, ":")[at]] = true
		}
	}
	return sortedKeys(found)
}

func (b *binder) set(o option, e entry) {
	if err := setText(o.Value, e.Text); err != nil {
		problem := lang.M("not valid")
		if e.Text == "" {
			problem = lang.M("empty")
		}
		b.faults = append(b.faults, Fault{
			Key: o.Key, Given: e.Flat, Value: o.mask(e.Text), Source: e.Source, Problem: problem, Remedy: lang.M("give %s", o.want()),
		})
	}
}

func (b *binder) single(o option) {
	if e, ok := b.take(o.Key); ok {
		b.set(o, e)
		return
	}
	below := b.names(o.Key)
	if len(below) == 0 {
		return
	}
	var source, flat string
	for _, name := range below {
		if e, ok := b.take(o.Key + ":" + name); ok {
			source, flat = cmp.Or(source, e.Source), cmp.Or(flat, strings.TrimSuffix(e.Flat, ":"+name))
		}
	}
	b.faults = append(b.faults, Fault{
		Key: o.Key, Given: flat, Source: source, Problem: lang.M("a list or section stands where one value is expected"), Remedy: lang.M("give %s", o.want()),
	})
}

// list binds a list: elements in the order of their index, gaps closed, or one value as a list of one. One text with commas is a
// list of its parts, unless they are secrets. A given list replaces the default. Words that are no index stay unknown.
func (b *binder) list(o option) {
	add := func(key string, e entry) {
		element := option{Key: key, Value: reflect.New(o.Value.Type().Elem()).Elem(), Tag: o.Tag}
		b.set(element, e)
		o.Value.Set(reflect.Append(o.Value, element.Value))
	}
	if e, ok := b.take(o.Key); ok {
		o.Value.SetZero()
		parts := []string{e.Text}
		if o.Value.Type().Elem().Kind() == reflect.String {
			parts = strings.Split(e.Text, ",")
			for i := range parts {
				parts[i] = strings.TrimSpace(parts[i])
			}
		}
		for _, part := range parts {
			if e.Text = part; part != "" {
				add(o.Key, e)
			}
		}
		return
	}
	var indexes []int
	for _, name := range b.names(o.Key) {
		if n, err := strconv.Atoi(name); err == nil {
			indexes = append(indexes, n)
		}
	}
	slices.Sort(indexes)
	var from []string
	for _, n := range indexes {
		key := o.Key + ":" + strconv.Itoa(n)
		e, ok := b.take(key)
		if !ok {
			continue // a section inside the list
		}
		if len(from) == 0 {
			o.Value.SetZero()
		}
		add(key, e)
		from = append(from, e.Source)
		if e.Flat != "" {
			b.flats[strings.ToLower(o.Key)] = strings.TrimSuffix(e.Flat, ":"+strconv.Itoa(n))
		}
	}
	if len(from) > 0 {
		b.sources[strings.ToLower(o.Key)] = strings.Join(slices.Compact(from), ", ")
	}
}

// table binds a map. It merges by name into the default; a name keeps its first spelling, since the values of payType differ
// by case. A new kind's schedule takes missing values from the fallback kind.
func (b *binder) table(o option) {
	if e, ok := b.take(o.Key); ok && e.Text != "" {
		b.faults = append(b.faults, Fault{
			Key: o.Key, Source: e.Source, Problem: lang.M("one value stands where a section is expected"), Remedy: lang.M(`give {"name": value, …}`),
		})
	}
	names := b.names(o.Key)
	if len(names) == 0 {
		return
	}
	if o.Value.IsNil() {
		o.Value.Set(reflect.MakeMap(o.Value.Type()))
	}
	if i := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, FallbackKind) }); i > 0 {
		names[0], names[i] = names[i], names[0] // the others may take values from it
	}
	for _, name := range names {
		for _, known := range o.Value.MapKeys() {
			if strings.EqualFold(known.String(), name) {
				name = known.String()
			}
		}
		key, value := o.Key+":"+name, reflect.New(o.Value.Type().Elem()).Elem()
		if before := o.Value.MapIndex(reflect.ValueOf(name)); before.IsValid() {
			value.Set(before)
		} else if fallback := o.Value.MapIndex(reflect.ValueOf(FallbackKind)); fallback.IsValid() {
			value.Set(fallback)
		}
		if isSection(value.Type()) {
			for _, sub := range options(key, value) {
				b.bind(sub)
			}
		} else {
			b.single(option{Key: key, Value: value, Tag: o.Tag})
		}
		o.Value.SetMapIndex(reflect.ValueOf(name), value)
	}
}
