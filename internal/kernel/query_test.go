package kernel

import "testing"

func TestCutAfterAWholeCharacter(t *testing.T) {
	for _, tt := range []struct {
		name   string
		column textColumn
		in     string
		want   string
	}{
		{"characters, fits", textColumn{max: 3}, "一二三", "一二三"},
		{"characters, too long", textColumn{max: 3}, "一二😀四", "一二😀"},
		{"bytes, fits", textColumn{max: 6, bytes: true}, "一二", "一二"},
		{"bytes, at a character's end", textColumn{max: 6, bytes: true}, "一二三", "一二"},
		{"bytes, inside a character", textColumn{max: 8, bytes: true}, "一二三", "一二"},
		{"bytes, too few for one", textColumn{max: 2, bytes: true}, "一", ""},
	} {
		if got := tt.column.cut(tt.in); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
