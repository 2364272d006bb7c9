package config

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"jdpay-listener/internal/lang"
)

// entry is one value as its source gave it.
type entry struct {
	Key    string // as spelled where it was first given: map names such as WXPAY keep their case
	Text   string
	Source string // such as "appsettings.json:12" or "env Mqtt__Server"
	Flat   string // the flat key of the replaced program by which it was given; empty: Key
}

// given is the key as the user wrote it.
func (e entry) given() string { return cmp.Or(e.Flat, e.Key) }

// layer is what one source gives, by key in lower case. A list a of two values is the entries a:0 and a:1; an empty
// list is one entry with an empty text.
type layer map[string]entry

// put adds a value. Giving a key twice is a fault; the first one stays.
func (l layer) put(key, text, source string) *Fault {
	key = canonical(key)
	path := strings.ToLower(key)
	if first, ok := l[path]; ok {
		return &Fault{Key: key, Source: source, Problem: lang.M("given twice, first by %s", first.Source), Remedy: lang.M("remove one of them")}
	}
	l[path] = entry{Key: key, Text: text, Source: source}
	return nil
}

// conflicts finds keys that the layer gives both as one value and as a list or section.
func (l layer) conflicts() Faults {
	var faults Faults
	for path, e := range l {
		for i, c := range path {
			if whole, both := l[path[:i]]; c == ':' && both {
				faults = append(faults, Fault{
					Key: e.Key, Source: e.Source,
					Problem: lang.M("given below a key that also has a value of its own, by %s", whole.Source),
					Remedy:  lang.M("remove one of them"),
				})
			}
		}
	}
	slices.SortFunc(faults, func(a, b Fault) int { return strings.Compare(a.Key, b.Key) })
	return faults
}

// merge merges the layers; later ones win. A list and a single value for the same key replace each other whole; lists merge
// by index and sections by key, as in .NET. A key keeps its first spelling.
func merge(layers []layer) layer {
	merged := layer{}
	for _, l := range layers {
		for _, path := range sortedKeys(l) {
			e := l[path]
			if older, given := merged[path]; given {
				e.Key = older.Key
			}
			maps.DeleteFunc(merged, func(other string, _ entry) bool {
				return strings.HasPrefix(other, path+":") || strings.HasPrefix(path, other+":")
			})
			merged[path] = e
		}
	}
	return merged
}

// cut removes the entries of key and below it, and returns them by the rest of their path.
func (l layer) cut(key string) layer {
	values := layer{}
	for path, e := range l {
		if below, ok := strings.CutPrefix(path, strings.ToLower(key)); ok && (below == "" || below[0] == ':') {
			delete(l, path)
			values[below] = e
		}
	}
	return values
}

// isEmpty reports whether the layer holds nothing but empty texts.
func (l layer) isEmpty() bool {
	for _, e := range l {
		if e.Text != "" {
			return false
		}
	}
	return true
}

// adoptLegacy moves the replaced program's flat keys to the structured keys they stand for. A structured key that is set
// wins, whatever the order of the sources; the root wins over the section. An empty value counts as not set, as the
// replaced program took it.
func (l layer) adoptLegacy() {
	for _, old := range legacyKeys {
		values, isFlat := l.cut(old.Key), false
		for _, flat := range []string{old.Flat, legacySection + ":" + old.Flat} {
			if older := l.cut(flat); values.isEmpty() && !older.isEmpty() {
				values, isFlat = older, true
			}
		}
		for below, e := range values {
			if isFlat {
				e.Flat = e.Key
			}
			e.Key = old.Key + below
			l[strings.ToLower(e.Key)] = e
		}
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
