// Command sbom writes what jdpay-listener is made of: the licences of the modules that are linked into it, or a bill of
// materials in SPDX 2.3. It asks the go command, so that it must run in the project's folder.
//
//	go run ./deploy/sbom licenses >THIRD_PARTY_LICENSES
//	go run ./deploy/sbom spdx >bin/jdpay-listener.spdx.json
package main

import (
	"fmt"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("give one of: licenses, spdx")
	}
	modules, err := linked("./cmd/jdpay-listener")
	if err != nil {
		return err
	}
	switch args[0] {
	case "licenses":
		return writeLicenses(os.Stdout, modules)
	case "spdx":
		return writeSPDX(os.Stdout, modules)
	default:
		return fmt.Errorf("%q is not known: give one of: licenses, spdx", args[0])
	}
}
