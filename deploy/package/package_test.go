// Package pkg has only tests: of the files that `make dist` makes.
package pkg

import (
	"bytes"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

const version = "1.2.3-rc.1"

var (
	// source is a copy of the work tree, which may change while the tests run.
	source = sync.OnceValues(func() (string, error) {
		dir, err := newFolder("source")
		if err != nil {
			return "", err
		}
		return dir, copyTree(dir, "../..")
	})
	// dist makes the files of a release, for one architecture, and returns their folder.
	dist = sync.OnceValues(func() (string, error) { return makeDist("first") })

	folders []string
)

func newFolder(name string) (string, error) {
	dir, err := os.MkdirTemp("", "jdpay-dist-"+name+"-")
	folders = append(folders, dir)
	return dir, err
}

func TestMain(m *testing.M) {
	if flag.Parse(); testing.Short() {
		os.Exit(0) // making a release takes minutes
	}
	code := m.Run()
	for _, dir := range folders {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// makeDist commits a copy of the source, in a folder of its own, and makes its release there. The commit is the same wherever it
// is made.
func makeDist(name string, environ ...string) (string, error) {
	from, err := source()
	if err != nil {
		return "", err
	}
	dir, err := newFolder(name)
	if err != nil {
		return "", err
	}
	if err := copyTree(dir, from); err != nil {
		return "", err
	}
	const who = "-c user.name=t -c user.email=t@localhost -c core.autocrlf=false"
	script := "git init -q && git add -A && git " + who + " commit -qm t && make dist VERSION=" + version
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "GIT_AUTHOR_DATE=2026-11-21T12:00:00Z", "GIT_COMMITTER_DATE=2026-11-21T12:00:00Z", "ARCHS=amd64"), environ...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return "", &failure{err, out.String()}
	}
	return filepath.Join(dir, "bin", "dist"), nil
}

// failure is an error with what the program printed.
type failure struct {
	error
	output string
}

func (f *failure) Error() string { return f.error.Error() + "\n" + f.output }

// copyTree copies what belongs to the source.
func copyTree(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if slices.Contains([]string{".git", "bin", "bench-results", "vendor"}, name) {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		target := filepath.Join(to, name)
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, content, info.Mode())
	})
}

// TestSameSourceSameBytes makes a release twice, in another folder, time zone and language, as another user would.
func TestSameSourceSameBytes(t *testing.T) {
	first, err := dist()
	if err != nil {
		t.Fatal(err)
	}
	second, err := makeDist("second-and-in-a-longer-folder", "TZ=Asia/Shanghai", "LC_ALL=C", "USER=somebody", "HOSTNAME=elsewhere")
	if err != nil {
		t.Fatal(err)
	}
	one, err := os.ReadFile(filepath.Join(first, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	two, err := os.ReadFile(filepath.Join(second, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one, two) {
		t.Errorf("the same source made other files:\n%s\n%s", one, two)
	}
	for _, want := range []string{"_amd64.deb", ".x86_64.rpm", "-linux-amd64.tar.gz", "-source.tar.gz", ".spdx.json"} {
		if !strings.Contains(string(one), want+"\n") {
			t.Errorf("there is no %s:\n%s", want, one)
		}
	}
}

// TestSourceArchiveBuilds builds the program from the source archive, on a machine without modules and network.
func TestSourceArchiveBuilds(t *testing.T) {
	folder, err := dist()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := "tar -xzf " + folder + "/*-source.tar.gz --strip-components=1 && make build PROGRAMS=./cmd/jdpay-listener && bin/jdpay-listener version"
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=vendor", "GOPROXY=off", "GOMODCACHE="+filepath.Join(dir, "none"))
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "jdpay-listener "+version+", commit ") || strings.Contains(string(out), "commit unknown") {
		t.Errorf("%v\n%s", err, out)
	}
}

// installed unpacks the files that a package installs, and returns their folder.
func installed(t *testing.T) string {
	t.Helper()
	folder, err := dist()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if out, err := exec.Command("sh", "-c", "tar -C "+dir+" -xzf "+folder+"/*-linux-amd64.tar.gz --strip-components=1").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return dir
}

// TestInstalledDocumentsLead: links between the documents lead somewhere where a package has put them.
func TestInstalledDocumentsLead(t *testing.T) {
	root, seen := installed(t), 0
	link := regexp.MustCompile(`\]\(([^)\s#]+)[^)\s]*\)`)
	err := filepath.WalkDir(filepath.Join(root, "usr/share"), func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".md") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			seen++
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s: there is no %s", strings.TrimPrefix(path, root), m[1])
			}
		}
		return err
	})
	if err != nil || seen < 30 {
		t.Errorf("%v, %d links", err, seen)
	}
	for _, name := range []string{"jdpay-listener.service", "jdpay-listener-migrate.service", "jdpay-listener-console.service"} {
		unit, err := os.ReadFile(filepath.Join(root, "usr/lib/systemd/system", name))
		if err != nil {
			t.Fatal(err)
		}
		_, file, found := strings.Cut(string(unit), " file:")
		file, _, _ = strings.Cut(file, "\n")
		if _, err := os.Stat(filepath.Join(root, file)); !found || err != nil {
			t.Errorf("%s names a document that is not there: %v", name, err)
		}
	}
}

// TestManualShowsFlagsAsTyped: no flag has the form of a Go variable, and a copied one is made of what a shell takes.
func TestManualShowsFlagsAsTyped(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(installed(t), "usr/share/man/man1/*.gz"))
	if err != nil || len(pages) < 20 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	all, err := exec.Command("zcat", pages...).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`\fB\-\-order\fP \fIORDER_NO\fP` + "\n", `\fB\-\-limit\fP \fINUMBER\fP (default 50)` + "\n", `\fB\-\-replay\fP` + "\n", `jobs retry \-\-all \-\-kind`} {
		if !strings.Contains(string(all), want) {
			t.Errorf("no page has %q", want)
		}
	}
	for _, line := range regexp.MustCompile(`.*(\\fP(=|\[)|--\w|\\\\).*`).FindAllString(string(all), -1) {
		t.Errorf("a page has %q", line)
	}
}

// TestDebianPackage installs, upgrades, removes and purges the package with this machine's dpkg, on a copy of its files that
// is thrown away.
func TestDebianPackage(t *testing.T) {
	if os.Getuid() != 0 && os.Getenv("CI") == "" {
		t.Skip("only root can install packages")
	}
	folder, err := dist()
	if err != nil {
		t.Fatal(err)
	}
	debs, err := filepath.Glob(folder + "/*.deb")
	if err != nil || len(debs) != 1 {
		t.Fatalf("packages %v, %v", debs, err)
	}
	out, err := exec.Command("unshare", "--mount", "sh", "install_test.sh", debs[0], version).CombinedOutput()
	if err != nil || !strings.HasSuffix(string(out), "as expected\n") {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
