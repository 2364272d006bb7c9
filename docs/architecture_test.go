package docs_test

import (
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestArchitectureNamesTheCode requires architecture.md to name each package of internal and cmd, and only files that exist.
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
	if len(named) < 60 {
		t.Errorf("only %d files are named", len(named))
	}
	for _, name := range named {
		if !files[name] {
			t.Errorf("there is no file %s", name)
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
				t.Errorf("package %s is not named", name)
			}
		}
	}
}
