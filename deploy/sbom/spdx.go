package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strings"
)

type document struct {
	SPDXVersion       string         `json:"spdxVersion"`
	DataLicense       string         `json:"dataLicense"`
	SPDXID            string         `json:"SPDXID"`
	Name              string         `json:"name"`
	DocumentNamespace string         `json:"documentNamespace"`
	CreationInfo      creationInfo   `json:"creationInfo"`
	Packages          []spdxPackage  `json:"packages"`
	Relationships     []relationship `json:"relationships"`
}

type creationInfo struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type spdxPackage struct {
	SPDXID           string        `json:"SPDXID"`
	Name             string        `json:"name"`
	VersionInfo      string        `json:"versionInfo"`
	DownloadLocation string        `json:"downloadLocation"`
	FilesAnalyzed    bool          `json:"filesAnalyzed"`
	LicenseConcluded string        `json:"licenseConcluded"`
	LicenseDeclared  string        `json:"licenseDeclared"`
	CopyrightText    string        `json:"copyrightText"`
	Comment          string        `json:"comment,omitempty"`
	ExternalRefs     []externalRef `json:"externalRefs,omitempty"`
}

type externalRef struct {
	ReferenceCategory string `json:"referenceCategory"`
	ReferenceType     string `json:"referenceType"`
	ReferenceLocator  string `json:"referenceLocator"`
}

type relationship struct {
	SPDXElementID      string `json:"spdxElementId"`
	RelationshipType   string `json:"relationshipType"`
	RelatedSPDXElement string `json:"relatedSpdxElement"`
}

const nothing = "NOASSERTION"

// writeSPDX writes the bill of materials of the commit that is checked out.
func writeSPDX(out io.Writer, modules []module) error {
	commit, err := git("rev-parse", "HEAD")
	if err != nil {
		return err
	}
	created, err := git("show", "-s", "--format=%cd", "--date=format-local:%Y-%m-%dT%H:%M:%SZ", "HEAD")
	if err != nil {
		return err
	}
	toolchain, err := exec.Command("go", "env", "GOVERSION").Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(bill(modules, commit, created, strings.TrimSpace(string(toolchain))))
}

// bill makes the document. It has the time of the commit and a name made of its content, so that the same source gives
// the same document, byte for byte.
func bill(modules []module, commit, created, toolchain string) document {
	const root = "SPDXRef-jdpay-listener"
	d := document{
		SPDXVersion: "SPDX-2.3", DataLicense: "CC0-1.0", SPDXID: "SPDXRef-DOCUMENT", Name: "jdpay-listener",
		CreationInfo: creationInfo{Created: created, Creators: []string{"Tool: jdpay-listener-sbom"}},
		Packages: []spdxPackage{{
			SPDXID: root, Name: "jdpay-listener", VersionInfo: commit, DownloadLocation: nothing,
			LicenseConcluded: nothing, LicenseDeclared: nothing, CopyrightText: nothing,
		}},
		Relationships: []relationship{{"SPDXRef-DOCUMENT", "DESCRIBES", root}},
	}
	for i, m := range modules {
		p := spdxPackage{
			SPDXID: fmt.Sprintf("SPDXRef-module-%d", i+1), Name: m.Path, VersionInfo: m.Version, DownloadLocation: nothing,
			LicenseConcluded: m.License, LicenseDeclared: m.License, CopyrightText: nothing,
			ExternalRefs: []externalRef{{"PACKAGE-MANAGER", "purl", "pkg:golang/" + strings.ToLower(m.Path) + "@" + m.Version}},
		}
		if m.Standard {
			p.VersionInfo = toolchain
			p.ExternalRefs[0].ReferenceLocator = "pkg:golang/std@" + strings.TrimPrefix(toolchain, "go")
		} else {
			p.Comment = "go.sum: " + m.GoSum
		}
		d.Packages = append(d.Packages, p)
		d.Relationships = append(d.Relationships, relationship{root, "DEPENDS_ON", p.SPDXID})
	}
	packages, err := json.Marshal(d.Packages)
	if err != nil { // texts alone
		panic(err)
	}
	d.DocumentNamespace = fmt.Sprintf("https://jdpay-listener.invalid/spdx/%x", sha256.Sum256(packages))
	return d
}

func git(args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Env = append(cmd.Environ(), "TZ=UTC")
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w", args[0], err)
	}
	return strings.TrimSpace(string(out)), nil
}
