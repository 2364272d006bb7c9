package docs_test

import (
	"slices"
	"strings"
	"testing"

	"jdpay-listener/internal/alert"
	"jdpay-listener/internal/payment"
)

// TestRunbookHasEveryAlert compares the table of alerts in both languages with the catalogue, and the catalogue with what can be parked.
func TestRunbookHasEveryAlert(t *testing.T) {
	want := map[string]bool{} // whether it wakes people
	for _, name := range alert.Causes() {
		want[name] = alert.Pages(name)
	}
	for file, section := range map[string]string{"operations.md": "## Alerts", "zh/operations.md": "## 告警"} {
		got := map[string]bool{}
		for _, row := range rows(read(t, file), section) {
			if !slices.Contains([]string{"page", "叫醒", "info", "信息"}, row[1]) {
				continue // of the table of errors
			}
			for _, name := range words(row[0]) {
				if base, _, cut := strings.Cut(name, "/"); cut && !strings.HasPrefix(name, "refused/") {
					name = base + "/"
				}
				got[name] = slices.Contains([]string{"page", "叫醒"}, row[1])
			}
		}
		for name, page := range want {
			if is, ok := got[name]; !ok || is != page {
				t.Errorf("%s: the table lacks %s, or says wrongly whether it wakes people (%v)", file, name, page)
			}
		}
		for name := range got {
			if _, ok := want[name]; !ok {
				t.Errorf("%s: there is no alert %s", file, name)
			}
		}
	}
	for kind, endings := range payment.Endings {
		for _, e := range endings {
			name := string(e.Outcome)
			if e.Outcome == payment.Refused {
				name += "/" + kind
			}
			if _, ok := want[name]; e.State == "parked" && !ok {
				t.Errorf("jobs are parked as %s, and the catalogue of alerts does not have it", name)
			}
		}
	}
}
