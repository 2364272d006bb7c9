package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// module is a module that is linked into the program, with its licence.
type module struct {
	Path     string
	Version  string
	License  string // SPDX expression
	Files    []file // licence and notice texts, sorted by name
	GoSum    string // hash of the module's content as go.sum has it
	Standard bool   // Go's own library
}

type file struct{ Name, Text string }

// linked lists the modules of a program as it is built for its image: Linux, without cgo.
func linked(program string) ([]module, error) {
	list := exec.Command("go", "list", "-deps", "-json=Module", program)
	list.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0", "GOFLAGS=-mod=readonly")
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	seen := map[string]module{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			Module *struct {
				Path, Version, Dir, Sum string
				Main                    bool
				Replace                 *struct{ Path string }
			}
		}
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("reading what go list says: %w", err)
		}
		switch m := p.Module; {
		case m == nil || m.Main:
		case m.Replace != nil:
			return nil, fmt.Errorf("%s is replaced by %s: teach this program to name it", m.Path, m.Replace.Path)
		default:
			if _, known := seen[m.Path]; known {
				continue
			}
			one := module{Path: m.Path, Version: m.Version, GoSum: m.Sum}
			if err := one.read(m.Dir); err != nil {
				return nil, err
			}
			seen[m.Path] = one
		}
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	std := module{Path: "std", Standard: true}
	if err := std.read(strings.TrimSpace(string(root))); err != nil {
		return nil, err
	}
	modules := []module{std}
	for _, m := range seen {
		modules = append(modules, m)
	}
	slices.SortFunc(modules, func(a, b module) int { return strings.Compare(a.Path, b.Path) })
	return modules, nil
}

var (
	licenseName = regexp.MustCompile(`(?i)^(li[cs]en[cs]e|copying|copyright|notice|e[dp]l)([-._].*)?$`)
	codeName    = regexp.MustCompile(`(?i)\.(go|json|tmpl|ya?ml)$`)
)

// choice is of modules that leave the choice between licences; all others' texts hold together.
var choice = map[string]string{"github.com/eclipse/paho.mqtt.golang": "EPL-2.0 OR BSD-3-Clause"}

// read finds a module's licence in its folder.
func (m *module) read(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var found []string
	for _, e := range entries {
		if e.IsDir() || !licenseName.MatchString(e.Name()) || codeName.MatchString(e.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		clean := strings.TrimSpace(strings.ReplaceAll(string(text), "\r\n", "\n"))
		m.Files = append(m.Files, file{e.Name(), clean})
		found = append(found, classify(clean)...)
	}
	slices.Sort(found)
	if m.License = choice[m.Path]; m.License == "" {
		m.License = strings.Join(slices.Compact(found), " AND ")
	}
	if m.License == "" {
		return fmt.Errorf("%s %s has no licence that is known here: read %s and teach classify its words, or do without the module", m.Path, m.Version, dir)
	}
	return nil
}

// words are what tells one licence from all others, as one line of lower-case words.
var words = []struct{ spdx, text string }{
	{"Apache-2.0", "apache license version 2.0"},
	{"EPL-2.0", "eclipse public license - v 2.0"},
	{"MPL-2.0", "mozilla public license version 2.0"},
	{"MIT", "permission is hereby granted, free of charge, to any person obtaining a copy"},
	{"ISC", "permission to use, copy, modify, and/or distribute this software for any purpose with or without fee"},
	{"ISC", "permission to use, copy, modify, and distribute this software for any purpose with or without fee"},
}

// classify names the licences of a text. A notice has none.
func classify(text string) (found []string) {
	line := strings.NewReplacer(", version", " version", "(the", "the").Replace(strings.Join(strings.Fields(strings.ToLower(text)), " "))
	for _, w := range words {
		if strings.Contains(line, w.text) {
			found = append(found, w.spdx)
		}
	}
	if strings.Contains(line, "redistribution and use in source and binary forms") {
		if strings.Contains(line, "neither the name") || strings.Contains(line, "the names of its contributors may not be used") || strings.Contains(line, "may be used to endorse or promote") {
			found = append(found, "BSD-3-Clause")
		} else {
			found = append(found, "BSD-2-Clause")
		}
	}
	return found
}
