package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Secret is a text that is printed as *** in every format. Only Reveal returns it. The zero value is no secret.
//
// The text is behind a pointer because fmt does not call String for an unexported field, or for a verb that does not fit;
// then it prints an address.
type Secret struct{ text *string }

// NewSecret wraps a text.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{&text}
}

// Reveal returns the secret itself, for the one place that must send or hash it.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsSet reports whether there is a secret.
func (s Secret) IsSet() bool { return s.text != nil }

// String returns ***, or nothing when there is no secret.
func (s Secret) String() string {
	if !s.IsSet() {
		return ""
	}
	return "***"
}

// GoString is String, for %#v.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// MarshalJSON writes String.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// LogValue logs String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// The .NET log levels that slog does not name.
const (
	LevelTrace    = slog.LevelDebug - 4
	LevelCritical = slog.LevelError + 4
	LevelNone     = slog.Level(math.MaxInt)
)

var levels = []struct {
	name  string
	level slog.Level
}{
	{"Trace", LevelTrace},
	{"Debug", slog.LevelDebug},
	{"Information", slog.LevelInfo},
	{"Warning", slog.LevelWarn},
	{"Error", slog.LevelError},
	{"Critical", LevelCritical},
	{"None", LevelNone},
}

func parseLevel(text string) (slog.Level, error) {
	for _, l := range levels {
		if strings.EqualFold(l.name, text) {
			return l.level, nil
		}
	}
	return 0, errors.New("unknown level")
}

func levelName(level slog.Level) string {
	for _, l := range levels {
		if l.level == level {
			return l.name
		}
	}
	return level.String()
}

// timeSpan is what .NET's TimeSpan.Parse reads: [d.]hh:mm[:ss[.fffffff]].
var timeSpan = regexp.MustCompile(`^(?:(\d{1,5})\.)?(\d{1,2}):(\d{1,2})(?::(\d{1,2})(\.\d{1,7})?)?$`)

// parseDuration reads a .NET time span ("00:00:30", "1.02:03:04"), a Go duration ("30s", "1h30m") or bare seconds.
func parseDuration(text string) (time.Duration, error) {
	if span := timeSpan.FindStringSubmatch(text); span != nil {
		var n [4]time.Duration
		for i := range n {
			v, _ := strconv.Atoi("0" + span[i+1]) // at most five digits
			n[i] = time.Duration(v)
		}
		if n[1] > 23 || n[2] > 59 || n[3] > 59 {
			return 0, errors.New("hours over 23, minutes over 59 or seconds over 59")
		}
		fraction, _ := time.ParseDuration("0" + span[5] + "s")
		return n[0]*24*time.Hour + n[1]*time.Hour + n[2]*time.Minute + n[3]*time.Second + fraction, nil
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		text += "s"
	}
	return time.ParseDuration(text)
}

// FormatDuration writes a duration without zero units at its end: 10m, not 10m0s.
func FormatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// setText converts the text of a source into v, which holds one value: no list, no map.
func setText(v reflect.Value, text string) error {
	var err error
	switch p := v.Addr().Interface().(type) {
	case *string:
		*p = text
	case *Secret:
		*p = NewSecret(text)
	case *bool:
		*p, err = strconv.ParseBool(strings.ToLower(strings.TrimSpace(text)))
	case *int:
		*p, err = strconv.Atoi(strings.TrimSpace(text))
	case *float64:
		*p, err = strconv.ParseFloat(strings.TrimSpace(text), 64)
		if math.IsNaN(*p) {
			err = errors.New("not a number")
		}
	case *time.Duration:
		*p, err = parseDuration(strings.TrimSpace(text))
	case *slog.Level:
		*p, err = parseLevel(strings.TrimSpace(text))
	default:
		panic("config: no conversion for " + v.Type().String())
	}
	return err
}

// printed is a value as a text, secrets masked. setText is its inverse, except for secrets.
func printed(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return FormatDuration(x)
	case slog.Level:
		return levelName(x)
	case float64:
		return strconv.FormatFloat(x, 'g', -1, 64)
	default:
		return fmt.Sprint(x)
	}
}
