package config

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"jdpay-listener/internal/check"
	"jdpay-listener/internal/lang"
)

// sources collects what all sources give, in the order in which a later one wins.
type sources struct {
	dir         string
	layers      []layer
	files       []string  // appsettings files that were read
	filesFrom   string    // see Loaded.FilesFrom
	secretFiles []string  // files with one secret each that were read
	seen        hash.Hash // of every file that was looked for; Watch compares it
	faults      Faults
	broken      bool // a source could not be read, so keys may be missing only for that reason
}

// collect reads all sources of opts.
func collect(opts Options) *sources {
	s := &sources{dir: opts.Dir, seen: sha256.New()}
	environ := variables(opts.Environ)
	s.appsettings(opts, environ)
	s.environment(environ)
	for i, assignment := range opts.Set {
		s.flag(i, assignment)
	}
	return s
}

// Values of Loaded.FilesFrom.
const (
	FromFlag     = "--config"
	FromVariable = FilesVariable
	FromHere     = "working directory" // or configs/ in it
)

// FilesVariable is the environment variable with the appsettings files to read, separated like the folders of PATH.
const FilesVariable = "JDPAY_CONFIG"

// HostDir has the host's appsettings files, which are read if there are none in the working directory.
const HostDir = "/etc/jdpay"

// appsettings adds the appsettings files: those that the flags name, else those that JDPAY_CONFIG names, else those of the
// working directory, else the host's.
func (s *sources) appsettings(opts Options, environ map[string]string) {
	named, from := opts.Files, FromFlag
	if len(named) == 0 {
		named, from = filepath.SplitList(environ[FilesVariable]), FromVariable
	}
	if len(named) > 0 {
		s.filesFrom = from
		for _, name := range named {
			s.file(name)
		}
		return
	}
	names := []string{"appsettings.json", "appsettings." + environmentName(environ) + ".json"}
	for _, name := range names {
		_ = s.fileIfThere(name) || s.fileIfThere(filepath.Join("configs", name))
	}
	host := opts.HostDir
	if host == "" && opts.Dir == "" {
		host = HostDir
	}
	if s.filesFrom = FromHere; len(s.files) > 0 || s.broken || host == "" {
		return
	}
	s.filesFrom = host
	for _, name := range names {
		s.fileIfThere(filepath.Join(host, name))
	}
}

// fileIfThere adds an appsettings file, and reports whether it exists.
func (s *sources) fileIfThere(name string) bool {
	content, err := s.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	s.addFile(name, content, err)
	return true
}

// file adds an appsettings file that must exist.
func (s *sources) file(name string) {
	content, err := s.read(name)
	s.addFile(name, content, err)
}

func (s *sources) addFile(name string, content []byte, err error) {
	if err != nil {
		s.broken = true
		remedy := lang.M("correct its name or permissions")
		if errors.Is(err, fs.ErrPermission) {
			remedy = lang.M("run this as root or as the user of the service, or name another file with --config")
		}
		s.faults = append(s.faults, Fault{Key: name, Problem: lang.ErrorMessage(check.Unreadable(err)), Remedy: remedy})
		return
	}
	s.files = append(s.files, name)
	l, faults := parseFile(name, content)
	s.broken = s.broken || l == nil
	s.faults = append(s.faults, faults...)
	s.layers = append(s.layers, l)
}

// read reads a file and adds its content, or its absence, to the hash that Watch compares.
func (s *sources) read(name string) ([]byte, error) {
	path := name
	if !filepath.IsAbs(path) {
		path = filepath.Join(s.dir, path)
	}
	content, err := os.ReadFile(path)
	fmt.Fprintf(s.seen, "%q %t %q\n", name, err == nil, content)
	return content, err
}

// flag adds one --set Key:Path=value. Each is a layer of its own, so that the last of several wins. A secret is refused.
func (s *sources) flag(i int, assignment string) {
	key, text, ok := strings.Cut(assignment, "=")
	if !ok {
		s.faults = append(s.faults, Fault{
			Key: fmt.Sprintf("--set number %d", i+1), Problem: lang.M("has no ="), Remedy: lang.M("write --set Key:Path=value"),
		})
		return
	}
	key = strings.TrimSpace(key)
	problem := lang.M("every user of this machine can read a program's flags, and a secret in them")
	switch name := variableName(canonical(key)); {
	case isSecretKey(key):
		s.faults = append(s.faults, Fault{
			Key: canonical(key), Source: "flag --set", Problem: problem,
			Remedy: lang.M("give it in appsettings.json, as the environment variable %s, or in a file that %s names", name, name+fileSuffix),
		})
	case hasCredentials(text):
		s.faults = append(s.faults, Fault{
			Key: canonical(key), Source: "flag --set", Problem: problem, Remedy: lang.M("give user and password in keys of their own, by another source"),
		})
	}
	l := layer{}
	l.put(key, text, "flag --set")
	s.layers = append(s.layers, l)
}

// hasCredentials reports whether a text is an address with a user name or password in it.
func hasCredentials(text string) bool {
	_, rest, found := strings.Cut(text, "://")
	return found && strings.Contains(rest, "@")
}
