package pkg

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestReleaseRefuses tries what must not become a release.
func TestReleaseRefuses(t *testing.T) {
	script, err := os.ReadFile("release.sh")
	if err != nil {
		t.Fatal(err)
	}
	const changelog = "# Changelog\n\n## [Unreleased]\n\n## [1.2.3] - 2020-11-21\n"
	for name, tt := range map[string]struct{ version, do, want string }{
		"nothing against it":            {"1.2.3", "", ""},
		"its own tag":                   {"1.2.3", "git tag v1.2.3", ""},
		"no version":                    {"", "", "is no version"},
		"a v":                           {"v1.2.3", "", "is no version"},
		"what make has by itself":       {"0.0.0-dev.gc0ffee", "", "give a version"},
		"half a version":                {"1.2", "", "is no version"},
		"a changed file":                {"1.2.3", "echo >>CHANGELOG.md", "not committed"},
		"a new file":                    {"1.2.3", "echo >new", "not committed"},
		"a version nobody told of":      {"1.2.4", "", "CHANGELOG.md has no line"},
		"the tag of another commit":     {"1.2.3", "git tag v1.2.3 && git commit -q --allow-empty -m more", "take another version"},
		"an annotated tag, also of one": {"1.2.3", "git tag -a -m v v1.2.3 && git commit -q --allow-empty -m more", "take another version"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for file, text := range map[string]string{"deploy/package/release.sh": string(script), "CHANGELOG.md": changelog} {
				if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			prepare := "git init -q && git config user.name t && git config user.email t@localhost && git add -A && git commit -qm t\n" + tt.do
			cmd := exec.Command("sh", "-ec", prepare+"\nsh deploy/package/release.sh --check '"+tt.version+"'")
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			if (err == nil) != (tt.want == "") || !strings.Contains(string(out), tt.want) {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
