package config

import (
	"cmp"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"jdpay-listener/internal/lang"

	_ "time/tzdata" // Payment:TimeZone works in an image without a zone database
)

// Fault adds a fault of a key's value with its remedy; an empty remedy means to set the key. It adds nothing if the key has
// a fault already, so that one mistake is one fault, or if the key is not given while a source cannot be read.
func (l *Loaded) Fault(key string, problem, remedy lang.Message) {
	if l.faulty(key) || l.incomplete && l.Source(key) == "" {
		return
	}
	if remedy.IsZero() {
		remedy = lang.M("set it in appsettings.json or as %s", variableName(key))
	}
	f := l.find(key)
	f.Problem, f.Remedy = problem, remedy
	l.faults = append(l.faults, f)
}

// Mention returns a key with its value and where it was given, for the fault of another key: key = "value" (source).
func (l *Loaded) Mention(key string) string { return l.find(key).place() }

// find returns a fault of a key without its problem.
func (l *Loaded) find(key string) Fault {
	f := Fault{Key: key, Given: l.flats[strings.ToLower(key)], Source: l.Source(key)}
	for _, o := range l.Config.options() {
		for _, e := range o.expand() {
			if e.Key == key && (f.Source != "" || !e.Value.IsZero()) {
				f.Value = l.display(e)
			}
		}
	}
	return f
}

// Warn adds a notice about a key, unless the key has a fault.
func (l *Loaded) Warn(key string, notice lang.Message) {
	if !l.faulty(key) {
		l.Warnings = append(l.Warnings, lang.M("%s: %s", cmp.Or(l.flats[strings.ToLower(key)], key), notice))
	}
}

// Source says where a key was given, such as "appsettings.json:12"; empty when nowhere.
func (l *Loaded) Source(key string) string { return l.sources[strings.ToLower(key)] }

// Derived records that a key's value comes from another key.
func (l *Loaded) Derived(key, from string) {
	key, from = strings.ToLower(key), strings.ToLower(from)
	l.sources[key] = l.sources[from]
	if flat, ok := l.flats[from]; ok {
		l.flats[key] = flat
	}
}

// faulty reports whether the key or an element of it has a fault.
func (l *Loaded) faulty(key string) bool {
	path := strings.ToLower(key) + ":"
	return slices.ContainsFunc(l.faults, func(f Fault) bool {
		return strings.HasPrefix(strings.ToLower(f.Key)+":", path)
	})
}

// check applies the tags of every key, and refuses placeholders.
func (l *Loaded) check() {
	for _, o := range l.Config.options() {
		if o.Tag.Get("required") == "true" && l.missing(o) {
			continue
		}
		for _, e := range o.expand() {
			if !l.faulty(e.Key) {
				l.checkTags(e)
			}
		}
	}
	l.placeholders()
	if !instanceForm.MatchString(l.Config.Host.Instance) {
		l.Fault("Host:Instance", lang.M("not usable in an MQTT client id"), lang.M("use at most %d of A-Z a-z 0-9 . _ -", maxInstance))
	}
	zone := l.Config.Payment.TimeZone
	if _, err := time.LoadLocation(zone); err != nil || zone == "" || zone == "Local" {
		l.Fault("Payment:TimeZone", lang.M("not a time zone"), lang.M("give an IANA name such as Asia/Shanghai"))
	}
}

// missing reports whether a required key has no value, and adds a fault then.
func (l *Loaded) missing(o option) bool {
	if strings.TrimSpace(o.raw()) != "" ||
		o.Value.Kind() == reflect.Slice && o.Value.Len() > 0 {
		return false
	}
	if l.Source(o.Key) != "" {
		l.Fault(o.Key, lang.M("empty"), withPlace(lang.M("give it a value"), o))
	} else {
		l.Fault(o.Key, lang.M("required but not set"), l.howToSet(o))
	}
	return true
}

// howToSet says how to give a key that is missing, in the words of the replaced program where its keys are in use, and
// where to find a value that it never had.
func (l *Loaded) howToSet(o option) lang.Message {
	remedy := lang.M("set it in appsettings.json or as %s", variableName(o.Key))
	if i := slices.IndexFunc(legacyKeys, func(k legacyKey) bool { return k.Key == o.Key }); i >= 0 && len(l.flats) > 0 {
		remedy = lang.M("set it, or the replaced program's %s, in appsettings.json or as %s", legacyKeys[i].Flat, variableName(o.Key))
	}
	return withPlace(remedy, o)
}

// withPlace adds to a remedy where to find the option's value, if the option says so.
func withPlace(remedy lang.Message, o option) lang.Message {
	if where := o.Tag.Get("where"); where != "" {
		return lang.Join([]lang.Message{remedy, lang.Marked(where)}, "; ")
	}
	return remedy
}

// variableName is the environment variable of a key.
func variableName(key string) string { return strings.ReplaceAll(key, ":", "__") }

func (l *Loaded) checkTags(o option) {
	if words := o.Tag.Get("oneof"); words != "" {
		for word := range strings.FieldsSeq(words) {
			if strings.EqualFold(word, o.raw()) {
				o.Value.SetString(word)
				return
			}
		}
		l.Fault(o.Key, lang.M("not valid"), lang.M("give %s", o.want()))
	} else if !inRange(o) {
		l.Fault(o.Key, lang.M("out of range"), lang.M("give %s", o.want()))
	}
}

// inRange reports whether a number is in its range, and a duration above zero.
func inRange(o option) bool {
	if d, ok := o.Value.Interface().(time.Duration); ok {
		return d > 0
	}
	lo, hi, ranged := strings.Cut(o.Tag.Get("range"), "..")
	if !ranged {
		return true
	}
	low, errLow := strconv.ParseFloat(lo, 64)
	high, errHigh := strconv.ParseFloat(hi, 64)
	if errLow != nil || errHigh != nil {
		panic("config: the range of " + o.Key + " is unreadable")
	}
	var n float64
	if o.Value.CanInt() {
		n = float64(o.Value.Int())
	} else {
		n = o.Value.Float()
	}
	return low <= n && n <= high
}
