package check

import "testing"

func TestDistance(t *testing.T) {
	for name, tt := range map[string]struct {
		a, b string
		want int
	}{
		"both empty":           {"", "", 0},
		"from empty":           {"", "abc", 3},
		"to empty":             {"abc", "", 3},
		"equal":                {"same", "same", 0},
		"changed and inserted": {"kitten", "sitting", 3},
		"removed and inserted": {"flaw", "lawn", 2},
		"letters, not bytes":   {"寄件", "寄件支付", 2},
	} {
		t.Run(name, func(t *testing.T) {
			if got := distance(tt.a, tt.b); got != tt.want {
				t.Errorf("%q to %q is %d, want %d", tt.a, tt.b, got, tt.want)
			}
		})
	}
}
