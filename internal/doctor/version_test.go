package doctor

import "testing"

func TestCheckVersion(t *testing.T) {
	for version, want := range map[string]string{
		"5.5.62":                        "fail",
		"5.6.51-log":                    "ok",
		"5.7.44":                        "ok",
		"8.0.36-0ubuntu0":               "ok",
		"8.4.0":                         "ok",
		"10.4.34-MariaDB":               "fail",
		"10.5.0-MariaDB":                "ok",
		"10.11.19-MariaDB-0+deb12u1":    "ok",
		"5.5.5-10.3.39-MariaDB":         "fail",
		"5.5.5-10.6.12-MariaDB-log":     "ok",
		"11.8.2-MariaDB":                "ok",
		"a server that is not numbered": "warn",
	} {
		t.Run(version, func(t *testing.T) { checkLevel(t, checkVersion(version), want) })
	}
}
