package config

import (
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	_ "time/tzdata" // Payment:TimeZone works in an image without a zone database
)

// validator completes a bound Config and gathers all that is wrong with it.
type validator struct {
	c          *Config
	sources    map[string]string
	faults     Faults
	warnings   []string
	incomplete bool // a source could not be read: what is missing may stand there
}

// faulty reports whether something is already known to be wrong with the key or an element of it, so that one mistake
// is reported once.
func (v *validator) faulty(key string) bool {
	path := strings.ToLower(key) + ":"
	return slices.ContainsFunc(v.faults, func(f Fault) bool {
		return strings.HasPrefix(strings.ToLower(f.Key)+":", path)
	})
}

// given reports whether any source set the key.
func (v *validator) given(key string) bool {
	_, ok := v.sources[strings.ToLower(key)]
	return ok
}

// fault adds a fault of a key with its value, masked, and its source.
func (v *validator) fault(key, problem, remedy string) {
	f := Fault{Key: key, Problem: problem, Remedy: remedy, Source: v.sources[strings.ToLower(key)]}
	for _, o := range v.c.options() {
		for _, e := range o.expand() {
			if e.Key == key && (v.given(key) || !e.Value.IsZero()) {
				f.Value = e.display()
			}
		}
	}
	v.faults = append(v.faults, f)
}

func (v *validator) warn(key, notice string) { v.warnings = append(v.warnings, key+": "+notice) }

// check applies the tags of every key, then the rules that concern several.
func (v *validator) check() {
	for _, o := range v.c.options() {
		if o.Tag.Get("required") == "true" && v.missing(o) {
			continue
		}
		for _, e := range o.expand() {
			if !v.faulty(e.Key) {
				v.checkTags(e)
			}
		}
	}
	v.placeholders()
	v.mns()
	v.signatures()
	v.payment()
	v.mqtt()
	v.jdAPI()
	v.redis()
	v.elasticsearch()
	v.alerts()
	v.jobs()
	v.process()
	v.posture()
}

// missing reports, and makes a fault of, a required key without a value.
func (v *validator) missing(o option) bool {
	if strings.TrimSpace(o.raw()) != "" ||
		o.Value.Kind() == reflect.Slice && o.Value.Len() > 0 {
		return false
	}
	switch {
	case v.faulty(o.Key):
	case v.given(o.Key):
		v.fault(o.Key, "empty", "give it a value")
	case !v.incomplete:
		v.fault(o.Key, "required but not set", "set it in appsettings.json or as "+variableName(o.Key))
	}
	return true
}

// variableName is the environment variable of a key.
func variableName(key string) string { return strings.ReplaceAll(key, ":", "__") }

func (v *validator) checkTags(o option) {
	if words := o.Tag.Get("oneof"); words != "" {
		for word := range strings.FieldsSeq(words) {
			if strings.EqualFold(word, o.raw()) {
				o.Value.SetString(word)
				return
			}
		}
		v.fault(o.Key, "not valid", "give "+o.want())
		return
	}
	if !inRange(o) {
		v.fault(o.Key, "out of range", "give "+o.want())
	}
	if text := o.raw(); text != "" {
		v.checkText(o, text)
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

func (v *validator) checkText(o option, text string) {
	switch o.Tag.Get("check") {
	case "url":
		if problem := urlProblem(text); problem != "" {
			v.fault(o.Key, problem, "give an address such as https://host/path")
		}
	case "file":
		info, err := os.Stat(text)
		if err != nil {
			v.fault(o.Key, readProblem(err), "correct the path or the file's permissions")
		} else if info.IsDir() {
			v.fault(o.Key, "is a directory", "name a file")
		}
	case "pem":
		if _, err := ReadAuthorities(text); err != nil {
			v.fault(o.Key, err.Error(), "correct the path or the file's permissions, or give a PEM file")
		}
	case "mysql":
		_, notices, err := ParseMySQL(text)
		if err != nil {
			v.fault(o.Key, err.Error(), "write Server=…;Port=3306;Database=…;Uid=…;Pwd=… or user:password@tcp(host:3306)/database")
		}
		for _, notice := range notices {
			v.warn(o.Key, notice)
		}
	}
}
