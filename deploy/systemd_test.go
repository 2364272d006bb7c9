// Package deploy has only tests: what is shipped beside the program must hold what docs/security.md promises.
package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"jdpay-listener/internal/testenv"
)

// TestSystemdExposure: systemd rates what a unit leaves open from 0 to 10; 1.2 is the most that is promised.
func TestSystemdExposure(t *testing.T) {
	analyze, err := testenv.Binary("systemd-analyze")
	if err != nil {
		t.Fatal(err)
	}
	units, err := filepath.Glob("*.service")
	if err != nil || len(units) != 3 {
		t.Fatalf("units %v, %v", units, err)
	}
	for _, unit := range units {
		t.Run(unit, func(t *testing.T) {
			if out, err := exec.Command(analyze, "security", "--offline=yes", "--no-pager", "--threshold=12", unit).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestSystemdNeverGivesUp: by default systemd leaves a unit stopped after five starts in ten seconds, which a database that
// is down at boot uses up.
func TestSystemdNeverGivesUp(t *testing.T) {
	for unit, restart := range map[string]string{"jdpay-listener.service": "Restart=always", "jdpay-listener-console.service": "Restart=always", "jdpay-listener-migrate.service": "Restart=on-failure"} {
		text, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(text), "\n")
		for _, want := range []string{"StartLimitIntervalSec=0", restart} {
			if !slices.Contains(lines, want) {
				t.Errorf("%s has no %s", unit, want)
			}
		}
		// A unit that requires another is not started after that one has failed, whatever its own Restart= says.
		if strings.Contains(string(text), "Requires=") {
			t.Errorf("%s requires another unit", unit)
		}
	}
}
