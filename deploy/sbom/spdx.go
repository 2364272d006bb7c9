package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
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

// writeSPDX writes the bill of materials. Version, commit and time come from VERSION, COMMIT and SOURCE_DATE_EPOCH, and where
// these are not set from the commit that is checked out.
func writeSPDX(out io.Writer, modules []module) error {
	commit, err := given("COMMIT", "rev-parse", "HEAD")
	if err != nil {
		return err
	}
	epoch, err := given("SOURCE_DATE_EPOCH", "show", "-s", "--format=%ct", "HEAD")
	if err != nil {
		return err
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	toolchain, err := exec.Command("go", "env", "GOVERSION").Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	created := time.Unix(seconds, 0).UTC().Format(time.RFC3339)
	return e.Encode(bill(modules, cmp.Or(os.Getenv("VERSION"), commit), commit, created, strings.TrimSpace(string(toolchain))))
}

// bill makes the document. It has the time of the commit and a name made of its content, so that the same source gives
// the same document, byte for byte.
func bill(modules []module, version, commit, created, toolchain string) document {
	const root = "SPDXRef-jdpay-listener"
	d := document{
		SPDXVersion: "SPDX-2.3", DataLicense: "CC0-1.0", SPDXID: "SPDXRef-DOCUMENT", Name: "jdpay-listener",
		CreationInfo: creationInfo{Created: created, Creators: []string{"Tool: jdpay-listener-sbom"}},
		Packages: []spdxPackage{{
			SPDXID: root, Name: "jdpay-listener", VersionInfo: version, DownloadLocation: nothing,
			LicenseConcluded: nothing, LicenseDeclared: nothing, CopyrightText: nothing, Comment: "commit: " + commit,
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

// given returns a variable of the environment, or else what git says.
func given(variable string, args ...string) (string, error) {
	if v := os.Getenv(variable); v != "" {
		return v, nil
	}
	out, err := exec.Command("git", args...).Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w", args[0], err)
	}
	return strings.TrimSpace(string(out)), nil
}
