package main

import "github.com/spf13/cobra"

// usageError is an error of the command line: a flag, an argument or a command that does not exist or has no use. It
// ends the program with exitUsage; whoever called it is pointed to the command's help.
type usageError struct{ error }

// Unwrap returns what is wrong with the command line.
func (e usageError) Unwrap() error { return e.error }

// findUsageErrors makes usage errors of what cobra finds wrong with flags and arguments, in this command and those below.
func findUsageErrors(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usageError{err}
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		findUsageErrors(sub)
	}
}
