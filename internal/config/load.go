package config

import (
	"cmp"
	"encoding/hex"
	"slices"
	"strings"

	"jdpay-listener/internal/lang"
)

// Options say where Load looks. The zero value is the daemon's default behaviour.
type Options struct {
	Files   []string // in place of those that are looked for, see FilesFrom; merged in order, all must exist
	Set     []string // values from flags, each "Key:Path=value"
	Environ []string // "NAME=value"; nil: the process's environment
	Dir     string   // where relative file names start; empty: the working directory
	HostDir string   // in place of HostDir, for tests; if it is empty and Dir is not, there is none
}

// Setting is one effective value, for people to read.
type Setting struct {
	Key    string `json:"key"`
	Value  string `json:"value"`  // secrets masked
	Source string `json:"source"` // such as "default", "appsettings.json:12", "env Mqtt__Server", "flag --set"
}

// Loaded is a configuration with its sources, warnings and faults.
type Loaded struct {
	Config   *Config
	Warnings []lang.Message // unknown keys, notices about connection strings, risky choices
	Unknown  []lang.Message // those of Warnings that are about unknown keys
	Files    []string       // the appsettings files that were read
	// FilesFrom is where they were looked for: FromFlag, FromVariable, FromHere or the host's folder.
	FilesFrom string
	// SecretFiles are the files with one secret each (…_FILE) that were read.
	SecretFiles []string

	faults     Faults
	sources    map[string]string // of each key that was given, by the key in lower case
	shown      map[string]string // what people are shown of a secret, by the key in lower case
	flats      map[string]string // the flat key of each key that was given by one, by the key in lower case
	incomplete bool              // a source could not be read: missing keys may be in it
	digest     string            // of all files that were read or looked for
}

// Load reads every source, fills in defaults, and checks types and ranges. Then it calls the judges, which add the faults
// that they find.
//
// When the configuration cannot be used the error is Faults, with every fault. The Loaded is returned even then, for
// "config check" to print, for "probe" to find the ops port, and for "console", which needs few sections; the Config of a section
// with a fault must not be used for anything else.
func Load(opts Options, judges ...func(*Loaded)) (*Loaded, error) {
	src := collect(opts)
	merged := merge(src.layers)
	merged.adoptLegacy()

	c := defaults()
	b := &binder{left: merged, sources: map[string]string{}, flats: map[string]string{}, faults: src.faults}
	for _, o := range c.options() {
		b.bind(o)
	}
	unknown := b.unknown()
	l := &Loaded{
		Config: c, Warnings: unknown, Unknown: slices.Clone(unknown), Files: src.files, FilesFrom: src.filesFrom, SecretFiles: src.secretFiles,
		faults: b.faults, sources: b.sources, flats: b.flats, incomplete: src.broken, digest: hex.EncodeToString(src.seen.Sum(nil)),
	}
	l.complete()
	l.check()
	for _, judge := range judges {
		judge(l)
	}
	if len(l.faults) > 0 {
		return l, l.faults
	}
	return l, nil
}

// Show has people shown a text, with what is secret masked, in place of *** for a key. It is for secrets of which a part is
// not secret, such as connection strings.
func (l *Loaded) Show(key, text string) {
	if l.shown == nil {
		l.shown = map[string]string{}
	}
	l.shown[strings.ToLower(key)] = text
}

func (l *Loaded) display(o option) string {
	if text, ok := l.shown[strings.ToLower(o.Key)]; ok {
		return text
	}
	return o.display()
}

// Effective returns every effective value, in the order of the documentation.
func (l *Loaded) Effective() []Setting {
	var all []Setting
	for _, o := range l.Config.options() {
		for _, e := range o.expand() {
			all = append(all, Setting{Key: e.Key, Value: l.display(e), Source: cmp.Or(l.Source(e.Key), "default")})
		}
	}
	return all
}
