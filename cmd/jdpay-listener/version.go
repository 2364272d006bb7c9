package main

import (
	"cmp"
	"runtime"
	"runtime/debug"

	"jdpay-listener/internal/lang"

	"github.com/spf13/cobra"
)

// version and commit may be set when linking: -ldflags "-X main.version=1.2.3 -X main.commit=abc". Otherwise they come from
// the binary's build information.
var version, commit string

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print version, commit and Go version",
		Example: "  jdpay-listener version --json",
		Args:    noArgs,
		RunE:    func(*cobra.Command, []string) error { return a.printVersion() },
	}
}

func (a *app) printVersion() error {
	v, c := buildInfo()
	if a.json {
		return a.printJSON(map[string]string{"version": v, "commit": c, "go": runtime.Version()})
	}
	a.say(lang.M("jdpay-listener %s, commit %s, %s", v, c, runtime.Version()))
	return nil
}

// buildInfo returns the version and the commit of the program.
func buildInfo() (v, c string) {
	v, c = version, commit
	if info, ok := debug.ReadBuildInfo(); ok {
		v = cmp.Or(v, info.Main.Version)
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				c = cmp.Or(c, s.Value)
			}
		}
	}
	return cmp.Or(v, "(devel)"), cmp.Or(c, "unknown")
}
