package config

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	_ "time/tzdata" // Payment:TimeZone works in an image without a zone database
)

// Fault adds what is wrong with the value of a key, and what to do; an empty remedy is to set it. A value that is known to
// be wrong is not spoken of again, so that one mistake is one fault; nor is a key that nobody has given while a source
// cannot be read.
func (l *Loaded) Fault(key, problem, remedy string) {
	if l.faulty(key) || l.incomplete && l.Source(key) == "" {
		return
	}
	if remedy == "" {
		remedy = "set it in appsettings.json or as " + variableName(key)
	}
	f := Fault{Key: key, Problem: problem, Remedy: remedy, Source: l.Source(key)}
	for _, o := range l.Config.options() {
		for _, e := range o.expand() {
			if e.Key == key && (f.Source != "" || !e.Value.IsZero()) {
				f.Value = e.display()
			}
		}
	}
	l.faults = append(l.faults, f)
}

// Warn adds a notice about a key, unless its value is wrong anyway.
func (l *Loaded) Warn(key, notice string) {
	if !l.faulty(key) {
		l.Warnings = append(l.Warnings, key+": "+notice)
	}
}

// Source says where a key was given, such as "appsettings.json:12"; empty when nowhere.
func (l *Loaded) Source(key string) string { return l.sources[strings.ToLower(key)] }

// Derived notes that the value of a key comes from another key's.
func (l *Loaded) Derived(key, from string) { l.sources[strings.ToLower(key)] = l.Source(from) }

// faulty reports whether something is known to be wrong with the key or an element of it.
func (l *Loaded) faulty(key string) bool {
	path := strings.ToLower(key) + ":"
	return slices.ContainsFunc(l.faults, func(f Fault) bool {
		return strings.HasPrefix(strings.ToLower(f.Key)+":", path)
	})
}

// check applies the tags of every key, and what holds for all secrets.
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
		l.Fault("Host:Instance", "not usable in an MQTT client id", "use at most "+strconv.Itoa(maxInstance)+" of A-Z a-z 0-9 . _ -")
	}
	zone := l.Config.Payment.TimeZone
	if _, err := time.LoadLocation(zone); err != nil || zone == "" || zone == "Local" {
		l.Fault("Payment:TimeZone", "not a time zone", "give an IANA name such as Asia/Shanghai")
	}
}

// missing reports, and makes a fault of, a required key without a value.
func (l *Loaded) missing(o option) bool {
	if strings.TrimSpace(o.raw()) != "" ||
		o.Value.Kind() == reflect.Slice && o.Value.Len() > 0 {
		return false
	}
	if l.Source(o.Key) != "" {
		l.Fault(o.Key, "empty", "give it a value")
	} else {
		l.Fault(o.Key, "required but not set", "")
	}
	return true
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
		l.Fault(o.Key, "not valid", "give "+o.want())
	} else if !inRange(o) {
		l.Fault(o.Key, "out of range", "give "+o.want())
	}
}

// inRange reports whether a number keeps its range; a duration's is everything above zero.
func inRange(o option) bool {
	if d, ok := o.Value.Interface().(time.Duration); ok {
		return d > 0
	}
	lo, hi, ranged := strings.Cut(o.Tag.Get("range"), "..")
	if !ranged {
		return true
	}
	least, errLeast := strconv.ParseFloat(lo, 64)
	most, errMost := strconv.ParseFloat(hi, 64)
	if errLeast != nil || errMost != nil {
		panic("config: the range of " + o.Key + " is unreadable")
	}
	var n float64
	if o.Value.CanInt() {
		n = float64(o.Value.Int())
	} else {
		n = o.Value.Float()
	}
	return least <= n && n <= most
}
