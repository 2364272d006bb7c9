package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"30s":                 30 * time.Second,
		"1h30m":               90 * time.Minute,
		"250ms":               250 * time.Millisecond,
		"00:00:30":            30 * time.Second,
		"0:05":                5 * time.Minute, // hours and minutes, as TimeSpan.Parse takes it
		"1.02:03:04":          26*time.Hour + 3*time.Minute + 4*time.Second,
		"00:00:01.5":          1500 * time.Millisecond,
		"00:00:00.0000001":    100 * time.Nanosecond,
		"45":                  45 * time.Second,
		"1.5":                 1500 * time.Millisecond,
		"99999.23:59:59":      99999*24*time.Hour + 24*time.Hour - time.Second,
		"-5s":                 -5 * time.Second,
		"7.00:00:00.0000000":  7 * 24 * time.Hour,
		"0.00:00:00.00000010": -1,
		"24:00:00":            -1,
		"00:60":               -1,
		"00:00:60":            -1,
		"1:2:3:4":             -1,
		"-00:00:05":           -1,
		"soon":                -1,
		"":                    -1,
		"NaN":                 -1,
		"1e400":               -1,
		"999999999999":        -1,
	} {
		t.Run(text, func(t *testing.T) {
			got, err := parseDuration(text)
			if want == -1 {
				if err == nil {
					t.Fatalf("accepted as %v", got)
				}
				return
			}
			if err != nil || got != want {
				t.Fatalf("got %v, %v; want %v", got, err, want)
			}
		})
	}
}

func TestFormatDurationReadsBack(t *testing.T) {
	for d, want := range map[time.Duration]string{
		30 * time.Second: "30s", 10 * time.Minute: "10m", 168 * time.Hour: "168h", 90 * time.Minute: "1h30m",
		time.Hour + 5*time.Second: "1h0m5s", 100 * time.Minute: "1h40m", 0: "0s", 10 * time.Second: "10s",
	} {
		if got := FormatDuration(d); got != want {
			t.Errorf("%d is %q, want %q", d, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Min(0).Draw(t, "d"))
		if got, err := parseDuration(FormatDuration(d)); err != nil || got != d {
			t.Fatalf("%d came back as %d, %v", d, got, err)
		}
	})
}

func TestLevels(t *testing.T) {
	for name, want := range map[string]slog.Level{
		"Trace": slog.LevelDebug - 4, "debug": slog.LevelDebug, "Information": slog.LevelInfo, "WARNING": slog.LevelWarn,
		"Error": slog.LevelError, "Critical": slog.LevelError + 4, "None": LevelNone,
	} {
		if got, err := parseLevel(name); err != nil || got != want {
			t.Errorf("%s is %v, %v; want %v", name, got, err, want)
		}
	}
	if _, err := parseLevel("Loud"); err == nil {
		t.Error("an unknown level is accepted")
	}
	if LevelNone <= LevelCritical+1000 {
		t.Error("None is not above every level")
	}
}

func TestSetText(t *testing.T) {
	tests := []struct {
		zero    any
		text    string
		want    any
		refused bool
	}{
		{zero: "", text: " kept as is ", want: " kept as is "},
		{zero: 0, text: " 12 ", want: 12},
		{zero: 0, text: "1.0", refused: true},
		{zero: 0, text: "", refused: true},
		{zero: false, text: "True", want: true},
		{zero: true, text: "FALSE", want: false},
		{zero: false, text: "yes", refused: true},
		{zero: 0.0, text: "2.5", want: 2.5},
		{zero: 0.0, text: "NaN", refused: true},
		{zero: time.Duration(0), text: "30s", want: 30 * time.Second},
		{zero: slog.LevelInfo, text: "warning", want: slog.LevelWarn},
		{zero: slog.LevelInfo, text: "loud", refused: true},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%T %q", tt.zero, tt.text), func(t *testing.T) {
			v := reflect.New(reflect.TypeOf(tt.zero)).Elem()
			err := setText(v, tt.text)
			if tt.refused {
				if err == nil {
					t.Fatalf("accepted as %v", v.Interface())
				}
				return
			}
			if err != nil || v.Interface() != tt.want {
				t.Fatalf("got %#v, %v; want %#v", v.Interface(), err, tt.want)
			}
		})
	}
}

func TestSecretIsMaskedInEveryFormat(t *testing.T) {
	s := NewSecret("hunter2")
	asJSON, err := json.Marshal(map[string]any{"s": s, "list": []Secret{s}})
	if err != nil {
		t.Fatal(err)
	}
	all := []string{s.String(), s.LogValue().String(), string(asJSON)}
	for _, verb := range []string{"%s", "%v", "%+v", "%#v", "%q", "%x", "%d"} {
		for _, holder := range []any{s, &s, []Secret{s}, struct{ S Secret }{s}, struct{ s Secret }{s}, struct{ p *Secret }{&s}} {
			all = append(all, fmt.Sprintf(verb, holder))
		}
	}
	for _, printed := range all {
		if containsAny(printed, "hunter2", fmt.Sprintf("%x", "hunter2")) {
			t.Errorf("printed as %s", printed)
		}
	}
	if s.Reveal() != "hunter2" {
		t.Error("Reveal does not return the secret")
	}
	if NewSecret("").String() != "" {
		t.Error("an empty secret is printed as ***")
	}
}
