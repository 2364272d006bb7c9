package main

import (
	"github.com/spf13/cobra"

	"jdpay-listener/internal/job"
)

// completeFlags gives the values of flags to the shell's completion, for the command and all below it. No argument of a
// command is a file unless the command says so.
func completeFlags(cmd *cobra.Command) {
	var states []string
	for _, s := range job.States {
		states = append(states, string(s))
	}
	for name, values := range map[string][]string{
		"state": states,
		"kind":  jobKinds(),
		"lang":  {"en", "zh"},
	} {
		if cmd.LocalFlags().Lookup(name) != nil {
			// The error is that the flag does not exist, or has values already.
			_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
		}
	}
	for _, name := range []string{"amount", "as", "acts", "external-id", "field", "job", "limit", "order", "pay-time", "pay-type", "queue", "reason", "outcome", "text", "older-than", "for"} {
		if cmd.LocalFlags().Lookup(name) != nil {
			_ = cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
		}
	}
	if cmd.ValidArgsFunction == nil && !cmd.HasSubCommands() {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	for _, sub := range cmd.Commands() {
		completeFlags(sub)
	}
}

// completeFiles is the completion of an argument that is a file.
func completeFiles(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}
