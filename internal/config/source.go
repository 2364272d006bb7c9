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
)

// sources collects what all sources give, in the order in which a later one wins.
type sources struct {
	dir         string
	layers      []layer
	files       []string  // appsettings files that were read
	secretFiles []string  // files with one secret each that were read
	seen        hash.Hash // of every file that was looked for; Watch compares it
	faults      Faults
	broken      bool // a source could not be read, so keys may be missing only for that reason
}

// collect reads all sources of opts.
func collect(opts Options) *sources {
	s := &sources{dir: opts.Dir, seen: sha256.New()}
	environ := variables(opts.Environ)
	if len(opts.Files) == 0 {
		s.file("appsettings.json", true)
		s.file("appsettings."+environmentName(environ)+".json", true)
	}
	for _, name := range opts.Files {
		s.file(name, false)
	}
	s.environment(environ)
	for i, assignment := range opts.Set {
		s.flag(i, assignment)
	}
	return s
}

// file adds an appsettings file. One of the two default files may be absent, and may be in configs/ instead.
func (s *sources) file(name string, isDefault bool) {
	content, err := s.read(name)
	if isDefault && errors.Is(err, fs.ErrNotExist) {
		name = filepath.Join("configs", name)
		if content, err = s.read(name); errors.Is(err, fs.ErrNotExist) {
			return
		}
	}
	if err != nil {
		s.broken = true
		s.faults = append(s.faults, Fault{Key: name, Problem: check.Unreadable(err).Error(), Remedy: "correct its name or permissions"})
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
			Key: fmt.Sprintf("--set number %d", i+1), Problem: "has no =", Remedy: "write --set Key:Path=value",
		})
		return
	}
	key = strings.TrimSpace(key)
	const problem = "every user of this machine can read a program's flags, and a secret in them"
	switch name := variableName(canonical(key)); {
	case isSecretKey(key):
		s.faults = append(s.faults, Fault{
			Key: canonical(key), Source: "flag --set", Problem: problem,
			Remedy: "give it in appsettings.json, as the environment variable " + name + ", or in a file that " + name + fileSuffix + " names",
		})
	case hasCredentials(text):
		s.faults = append(s.faults, Fault{
			Key: canonical(key), Source: "flag --set", Problem: problem, Remedy: "give user and password in keys of their own, by another source",
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
