package main

import (
	"errors"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/lang"
)

func (a *app) configInitCommand() *cobra.Command {
	var from []string
	var output string
	var force bool
	cmd := &cobra.Command{
		Use:   "init --from OLD",
		Short: "Write a new configuration file from an old one, such as the replaced program's",
		Long: `Writes a configuration file with the values of an old one, such as the replaced program's: each under its structured
key, with a comment that says what it is and where it came from. Required keys that the old file lacks are empty and named.
Keys of other programs are left out and named. The old file is not changed.

Secrets are written as the old file has them, in clear. A file of --output is readable by its owner alone.`,
		Example: `  jdpay-listener config init --from appsettings.json --output /etc/jdpay/appsettings.json
  jdpay-listener config init --from appsettings.json --from appsettings.Production.json`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if len(from) == 0 {
				return usageError{lang.Errorf("name the old file: --from OLD")}
			}
			if force && output == "" {
				return usageError{lang.Errorf("--force goes with --output")}
			}
			made, err := config.Convert(from...)
			if err != nil {
				return err
			}
			switch {
			case output == "" && a.json: // in the document
			case output == "":
				if _, err := unwrapped(a.stdout).Write(made.Text); err != nil {
					return lang.Errorf("printing the file: %s", err)
				}
			default:
				if err := writeConfiguration(output, made.Text, force); err != nil {
					return err
				}
			}
			if a.json {
				text := string(made.Text)
				if output != "" {
					text = ""
				}
				return a.printJSON(map[string]any{
					"output": output, "text": text, "secrets": orEmpty(made.Secrets), "left_out": orEmpty(made.LeftOut), "required": orEmpty(made.Required),
				})
			}
			a.tellConverted(made, output)
			return nil
		},
	}
	cmd.Flags().StringArrayVar(&from, "from", nil, "old configuration `FILE`, repeatable, merged in order")
	cmd.Flags().StringVar(&output, "output", "", "write to `FILE` instead of standard output; an existing file is left as it is")
	cmd.Flags().BoolVar(&force, "force", false, "replace an existing file of --output")
	return cmd
}

// tellConverted says on standard error what a person has to know and do about the new file.
func (a *app) tellConverted(made config.Converted, output string) {
	file := output
	if output == "" {
		file = "FILE"
	} else {
		a.warn(lang.M("written: %s, readable by its owner alone", output))
	}
	if len(made.Secrets) > 0 {
		a.warn(lang.M("secrets in clear: %s; each may stand in a file of its own instead (docs/security.md)", strings.Join(made.Secrets, ", ")))
	}
	if len(made.LeftOut) > 0 {
		a.warn(lang.M("left out, since no key of this program: %s", strings.Join(made.LeftOut, ", ")))
	}
	for _, required := range made.Required {
		a.warn(lang.M("fill in %s", required))
	}
	a.warn(lang.M("then: jdpay-listener config check --config %s", file))
}

// writeConfiguration writes a file that only its owner can read. It replaces an existing one, whole, only if force is set.
func writeConfiguration(name string, text []byte, force bool) error {
	target := name
	if force {
		target = name + ".new"
	}
	file, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) && !force {
		return lang.Errorf("%s exists and is left as it is: name another file, or give --force", name)
	}
	if err != nil {
		return lang.Errorf("creating the file: %s", err)
	}
	_, err = file.Write(text)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil && force {
		err = os.Rename(target, name)
	}
	if err != nil {
		_ = os.Remove(target)
		return lang.Errorf("writing the file: %s", err)
	}
	return nil
}
