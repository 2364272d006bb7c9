package docs_test

import (
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestArchitectureNamesTheCode requires architecture.md to say of each package of internal and cmd what it owns, and to name only
// files and packages that exist.
func TestArchitectureNamesTheCode(t *testing.T) {
	text := read(t, "architecture.md")
	files := map[string]bool{} // base names, and with their packages
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			folder, name := filepath.Split(path)
			folder = filepath.Base(folder)
			files[name], files[folder+"/"+name] = true, true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`[a-z0-9_]+(/[a-z0-9_]+)?\.go\b`).FindAllString(text, -1)
	for _, name := range named {
		if !files[name] {
			t.Errorf("there is no file %s", name)
		}
	}
	for _, name := range regexp.MustCompile("`((?:internal|cmd)/[a-z-]+)`").FindAllStringSubmatch(text, -1) {
		if packages, err := filepath.Glob("../" + name[1] + "/*.go"); err != nil || len(packages) == 0 && name[1] != "internal/sandbox" {
			t.Errorf("there is no package %s", name[1])
		}
	}
	for _, pattern := range []string{"../internal/*", "../cmd/*"} {
		folders, err := filepath.Glob(pattern)
		if err != nil || len(folders) == 0 {
			t.Fatal(folders, err)
		}
		for _, folder := range folders {
			name := filepath.ToSlash(strings.TrimPrefix(folder, "../"))
			if !strings.Contains(text, "`"+name+"`") {
				t.Errorf("package %s has no owner's row", name)
			}
		}
	}
}
