package config

import (
	"encoding/hex"
	"strings"
)

// Options say where Load looks. The zero value is the daemon's default behaviour.
type Options struct {
	Files   []string // in place of appsettings.json and appsettings.{Environment}.json; merged in order, all must exist
	Set     []string // values from flags, each "Key:Path=value"
	Environ []string // "NAME=value"; nil: the process's environment
	Dir     string   // where relative file names start; empty: the working directory
}

// Setting is one effective value, for people to read.
type Setting struct {
	Key    string
	Value  string // secrets masked
	Source string // such as "default", "appsettings.json:12", "env Mqtt__Server", "flag --set"
}

// Loaded is a configuration and what there is to say about it.
type Loaded struct {
	Config   *Config
	Warnings []string // unknown keys, notices about connection strings, risky choices; nothing stops because of them
	Files    []string // the appsettings files that were read
	// SecretFiles are the files with one secret each (…_FILE) that were read.
	SecretFiles []string

	sources map[string]string
	digest  string // of all files that were read or looked for
}

// Load reads every source, fills in defaults and checks everything.
//
// When the configuration cannot be used the error is Faults, with all that is wrong in it. The Loaded is returned even
// then, so that "config check" can show what was read beside the faults; its Config must not be used for anything else.
func Load(opts Options) (*Loaded, error) {
	src := collect(opts)
	merged := src.merge()
	merged.adoptLegacy()

	c := defaults()
	b := &binder{left: merged, sources: map[string]string{}, faults: src.faults}
	for _, o := range c.options() {
		b.bind(o)
	}
	v := &validator{c: c, sources: b.sources, faults: b.faults, warnings: b.unknown(), incomplete: src.broken}
	v.complete()
	v.check()

	loaded := &Loaded{
		Config: c, Warnings: v.warnings, Files: src.files, SecretFiles: src.secretFiles,
		sources: v.sources, digest: hex.EncodeToString(src.seen.Sum(nil)),
	}
	if len(v.faults) > 0 {
		return loaded, v.faults
	}
	return loaded, nil
}

// Effective returns every value in force, in the order of the documentation.
func (l *Loaded) Effective() []Setting {
	var all []Setting
	for _, o := range l.Config.options() {
		for _, e := range o.expand() {
			source, given := l.sources[strings.ToLower(e.Key)]
			if !given {
				source = "default"
			}
			all = append(all, Setting{Key: e.Key, Value: e.display(), Source: source})
		}
	}
	return all
}
