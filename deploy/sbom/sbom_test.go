package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestClassify(t *testing.T) {
	const bsd = "Redistribution and use in source and binary forms, with or\nwithout modification, are permitted"
	for name, tt := range map[string]struct {
		text string
		want []string
	}{
		"Apache, over lines":  {"  Apache License\n   Version 2.0, January 2004", []string{"Apache-2.0"}},
		"Apache, in a header": {"Licensed under the Apache License, Version 2.0 (the \"License\")", []string{"Apache-2.0"}},
		"MIT":                 {"Permission is hereby granted, free of charge, to any person\nobtaining a copy of this", []string{"MIT"}},
		"ISC":                 {"Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is", []string{"ISC"}},
		"MPL":                 {"Mozilla Public License Version 2.0", []string{"MPL-2.0"}},
		"MPL with a comma":    {"Mozilla Public License, version 2.0", []string{"MPL-2.0"}},
		"BSD of two clauses":  {bsd, []string{"BSD-2-Clause"}},
		"BSD of three":        {bsd + " Neither the name of X nor", []string{"BSD-3-Clause"}},
		"two in one text":     {"Apache License Version 2.0 " + bsd, []string{"Apache-2.0", "BSD-2-Clause"}},
		"a notice":            {"Copyright 2020 Somebody", nil},
		"a licence unknown":   {"GNU General Public License version 3", nil},
	} {
		if got := classify(tt.text); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

// TestUnknownLicence: a module whose licence nobody has looked at must not slip into the program.
func TestUnknownLicence(t *testing.T) {
	for name, text := range map[string]string{"LICENSE": "Do what you like on Sundays.", "main.go": "package main"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		m := module{Path: "example.org/x", Version: "v1.0.0"}
		if err := m.read(dir); err == nil || !strings.Contains(err.Error(), "example.org/x v1.0.0") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLicensesShareTexts(t *testing.T) {
	var out bytes.Buffer
	if err := writeLicenses(&out, []module{
		{Path: "a", Version: "v1", License: "MIT", Files: []file{{"LICENSE", "the text  \nof MIT"}}},
		{Path: "b", Version: "v2", License: "MIT", Files: []file{{"COPYING", "the text  \nof MIT"}, {"NOTICE", "b's own"}}},
	}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\na v1\tMIT\nb v2\tMIT\n", "\na v1: LICENSE\nb v2: COPYING\n", "the text\nof MIT\n", "b's own\n"} {
		if strings.Count(out.String(), want) != 1 {
			t.Errorf("%q stands there %d times:\n%s", want, strings.Count(out.String(), want), out.String())
		}
	}
}

func TestBill(t *testing.T) {
	modules := []module{{Path: "example.org/X", Version: "v1.0.0", License: "MIT", GoSum: "h1:abc="}, {Path: "std", License: "BSD-3-Clause", Standard: true}}
	write := func(modules []module) string {
		b, err := json.Marshal(bill(modules, "1.2.3", "c0ffee", "2020-11-21T00:00:00Z", "go1.26.1"))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	text := write(modules)
	for _, want := range []string{
		`"spdxVersion":"SPDX-2.3"`, `"created":"2020-11-21T00:00:00Z"`, `"versionInfo":"1.2.3"`, `"comment":"commit: c0ffee"`, `pkg:golang/example.org/x@v1.0.0`, `pkg:golang/std@1.26.1`, `go.sum: h1:abc=`,
		`{"spdxElementId":"SPDXRef-jdpay-listener","relationshipType":"DEPENDS_ON","relatedSpdxElement":"SPDXRef-module-2"}`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %s in %s", want, text)
		}
	}
	if again := write(modules); again != text {
		t.Errorf("the same source gives another document: %s", again)
	}
	modules[0].GoSum = "h1:xyz="
	namespace := func(text string) string {
		_, rest, _ := strings.Cut(text, `"documentNamespace":"`)
		name, _, _ := strings.Cut(rest, `"`)
		return name
	}
	if a, b := namespace(text), namespace(write(modules)); a == b || a == "" {
		t.Errorf("two documents have one name, %q", a)
	}
}
