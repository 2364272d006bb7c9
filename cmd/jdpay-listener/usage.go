package main

import (
	"errors"
	"strings"

	"jdpay-listener/internal/lang"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usageError is an error in the command line: in a flag, an argument or a command. The program then names the command's
// help and exits with exitUsage.
type usageError struct{ error }

// Unwrap returns the cause.
func (e usageError) Unwrap() error { return e.error }

// markUsageErrors turns cobra's errors about flags and arguments into usage errors, for the command and all below it.
func markUsageErrors(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{flagError(err)} })
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usageError{err}
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		markUsageErrors(sub)
	}
}

// flagError says in words what is wrong with a flag. The library's error about a value has that of the parser, such as
// strconv.ParseInt.
func flagError(err error) error {
	var bad *pflag.InvalidValueError
	var unknown *pflag.NotExistError
	var empty *pflag.ValueRequiredError
	switch {
	case errors.As(err, &unknown):
		return lang.Errorf("unknown flag: %s", dashed(unknown.GetSpecifiedName()))
	case errors.As(err, &empty):
		return lang.Errorf("flag needs an argument: %s", dashed(empty.GetSpecifiedName()))
	case !errors.As(err, &bad):
		return err
	}
	what := lang.M("cannot be used")
	switch bad.GetFlag().Value.Type() {
	case "int":
		what = lang.M("is not a whole number")
	case "bool":
		what = lang.M("is neither true nor false")
	case "duration":
		what = lang.M("is not a duration, such as 30s")
	case "stringSlice":
		what = lang.M("is not a list of words with commas between them")
	}
	return lang.Errorf("--%s: %q %s", bad.GetFlag().Name, bad.GetValue(), what)
}

func dashed(flag string) string {
	if len(flag) == 1 {
		return "-" + flag
	}
	return "--" + flag
}

// noCommand is for commands whose arguments are commands, and this one is none of them.
func noCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2 // the library sets it for the root only
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return lang.Errorf("unknown command %q for %q: did you mean %s?", args[0], cmd.CommandPath(), strings.Join(near, ", "))
	}
	return lang.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())
}

// noArgs is for commands that do something and take no arguments.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return lang.Errorf("%q is too much: this command takes flags only", args[0])
	}
	return nil
}

// oneArg is for commands that want one thing, such as an order number.
func oneArg(thing lang.Message) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch len(args) {
		case 0:
			return lang.Errorf("%s is missing", thing)
		case 1:
			return nil
		}
		return lang.Errorf("%q is too much: give %s, in quotes if there are blanks in it", args[1], thing)
	}
}

// maxOneArg is for commands that take one thing, or none.
func maxOneArg(thing lang.Message) cobra.PositionalArgs {
	one := oneArg(thing)
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return one(cmd, args)
	}
}

// someArgs is for commands that want one thing or several.
func someArgs(thing lang.Message) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return lang.Errorf("%s is missing", thing)
		}
		return nil
	}
}
