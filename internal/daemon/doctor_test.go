package daemon

import (
	"errors"
	"testing"
)

func TestCheckVersion(t *testing.T) {
	for version, want := range map[string]string{
		"5.5.62":                        "failed",
		"5.6.51-log":                    "fine",
		"5.7.44":                        "fine",
		"8.0.36-0ubuntu0":               "fine",
		"8.4.0":                         "fine",
		"10.4.34-MariaDB":               "failed",
		"10.5.0-MariaDB":                "fine",
		"10.11.19-MariaDB-0+deb12u1":    "fine",
		"5.5.5-10.3.39-MariaDB":         "failed",
		"5.5.5-10.6.12-MariaDB-log":     "fine",
		"11.8.2-MariaDB":                "fine",
		"a server that is not numbered": "warned",
	} {
		err := checkVersion(version)
		got := "fine"
		switch {
		case errors.As(err, new(advice)):
			got = "warned"
		case err != nil:
			got = "failed"
		}
		if got != want {
			t.Errorf("%s: %s (%v), want %s", version, got, err, want)
		}
	}
}
