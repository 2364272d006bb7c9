package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/doctor"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/setup"
)

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "config",
		Short:   "Check the configuration, or write one from an old file",
		Example: "  jdpay-listener config check",
		Args:    noCommand,
		RunE: func(*cobra.Command, []string) error {
			return usageError{lang.Errorf("config needs a command: config check or config init")}
		},
	}
	cmd.AddCommand(a.configCheckCommand(), a.configInitCommand())
	return cmd
}

func (a *app) configCheckCommand() *cobra.Command {
	var connect bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Load and validate the configuration, and print every value with its source",
		Long: `Loads and validates the configuration and prints every effective value with its source, secrets masked. If there are
faults, all of them are listed, with the unknown keys, in place of the values (--json has both); the exit code is then 2.
It also says which files were read: those of --config, else those of the environment variable JDPAY_CONFIG (separated by
colons), else appsettings.json and appsettings.{Environment}.json here or in configs/, else in /etc/jdpay. Every command and
the daemon look for them alike. A table shows how each connection is configured to be secured. With --connect it also connects to each dependency, checks
the columns of the business tables, and shows how each connection is secured; the exit code is 1 if a check fails.`,
		Example: `  jdpay-listener config check
  jdpay-listener config check --connect --config /etc/jdpay/appsettings.json --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, err := a.loadAll()
			var faults config.Faults
			if err != nil && !errors.As(err, &faults) {
				return err
			}
			var findings []doctor.Finding
			if connect && err == nil {
				findings = doctor.Connect(cmd.Context(), loaded.Config)
			}
			links := transportsOf(findings)
			if len(links) == 0 {
				links = setup.Links(loaded.Config)
			}
			if a.json {
				_ = a.printJSON(map[string]any{
					"valid": err == nil, "faults": orEmpty(faults), "warnings": orEmpty(loaded.Warnings), "files": orEmpty(loaded.Files), "files_from": loaded.FilesFrom,
					"settings": loaded.Effective(), "transport": orEmpty(links), "connections": orEmpty(findings),
				})
				return errors.Join(err, failedFindings(findings))
			}
			if err != nil && !errors.Is(err, errNoConfiguration) {
				if loaded.FilesFrom != config.FromFlag { // else the faults name what the user has named
					a.warn(filesLine(loaded))
				}
				for _, warning := range loaded.Unknown { // a fault may come from one
					a.warn(lang.M("warning: %s", warning))
				}
			}
			if err != nil {
				return err // without the values, among which the faults would be lost
			}
			a.printSettings(loaded)
			a.printTransports(links)
			a.printFindings(findings)
			return failedFindings(findings)
		},
	}
	cmd.Flags().BoolVar(&connect, "connect", false, "also connect to each dependency and check the business tables' columns")
	return cmd
}

// filesLine says which files the configuration comes from, and why these.
func filesLine(loaded *config.Loaded) lang.Message {
	names := strings.Join(loaded.Files, ", ")
	switch {
	case names == "" && loaded.FilesFrom == config.HostDir:
		return lang.M("files: none; --config and %s name none, and there is no appsettings.json here, in configs/ or in %s", config.FilesVariable, config.HostDir)
	case names == "":
		return lang.M("files: none")
	case loaded.FilesFrom == config.FromFlag, loaded.FilesFrom == config.FromVariable:
		return lang.M("files: %s (named by %s)", names, loaded.FilesFrom)
	case loaded.FilesFrom == config.FromHere:
		return lang.M("files: %s (in the working directory)", names)
	}
	return lang.M("files: %s (the host's, since there is none here or in configs/)", names)
}

func (a *app) printSettings(loaded *config.Loaded) {
	a.say(filesLine(loaded))
	var rows [][]string
	for _, s := range loaded.Effective() {
		rows = append(rows, []string{s.Key, s.Value, s.Source})
	}
	a.table(rows, 0)
	for _, warning := range loaded.Warnings {
		a.warn(lang.M("warning: %s", warning))
	}
}

func (a *app) printFindings(findings []doctor.Finding) {
	if len(findings) == 0 {
		return
	}
	a.printLine("")
	unchecked := map[string][]string{} // names by reason
	var reasons []string
	for _, f := range findings {
		switch {
		case f.Transport != nil && f.OK && !f.Warning: // it is in the table of connections
		case f.Unchecked:
			reason := f.Detail.In(a.lang)
			if unchecked[reason] == nil {
				reasons = append(reasons, reason)
			}
			unchecked[reason] = append(unchecked[reason], f.Name)
		case !f.OK:
			a.say(lang.M("FAILED  %s: %s", f.Name, f.Detail))
			a.printLine("        %s", f.Remedy.In(a.lang))
		case f.Warning:
			a.say(lang.M("warn    %s: %s", f.Name, f.Detail))
			a.printLine("        %s", f.Remedy.In(a.lang))
		default:
			a.say(lang.M("ok      %s: %s", f.Name, f.Detail))
		}
	}
	for _, reason := range reasons {
		a.printLine("-       %s", reason)
		a.printLine("        %s", strings.Join(unchecked[reason], ", "))
	}
}

func failedFindings(findings []doctor.Finding) error {
	failed, unchecked := 0, 0
	for _, f := range findings {
		switch {
		case f.Failed():
			failed++
		case f.Unchecked:
			unchecked++
		}
	}
	switch {
	case failed > 0 && unchecked > 0:
		return lang.Errorf("%d of %d checks failed, and %d could not be made: see the list above for what to do", failed, len(findings), unchecked)
	case failed > 0:
		return lang.Errorf("%d of %d checks failed: see the list above for what to do", failed, len(findings))
	}
	return nil
}

// orEmpty turns a nil list into an empty one, which is [] in JSON.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
