// Command jdpay-listener takes JD payment notifications from Aliyun MNS queues. It checks each one's signature, marks the
// order paid, tells the cabinet over MQTT and JD over HTTP, and writes the pay info.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/printable"
	"jdpay-listener/internal/setup"
)

// Exit codes of the contract.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2 // wrong usage, or a configuration that cannot be used
)

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		<-signals // a second signal stops at once; nothing is lost
		if log := runningLog.Load(); log != nil {
			log.Close()
		}
		fmt.Fprintln(bounded{os.Stderr}, "stopped at once by a second signal")
		os.Exit(exitFailed)
	}()
	os.Exit(execute(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// app has the global flags and the standard streams.
type app struct {
	files  []string // --config
	set    []string // --set
	json   bool
	lang   lang.Lang // --lang, or by the environment
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer

	columns int  // of the terminal that stdout is; 0: it is none
	printed bool // a JSON document was printed
}

// execute runs the command line and returns the exit code.
func execute(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	language, unknown := lang.Of(languageFlag(args), os.Getenv)
	a := &app{lang: language, stdin: stdin, stdout: stdout, stderr: stderr, columns: terminalColumns(stdout)}
	for _, stream := range []*io.Writer{&a.stdout, &a.stderr} {
		if columns := terminalColumns(*stream); columns > 0 {
			w := &wrapper{w: *stream, columns: columns}
			defer w.flush()
			*stream = w
		}
	}
	root := a.root()
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if unknown != nil {
			return usageError{unknown}
		}
		return nil
	}
	root.SetHelpCommand(helpCommand())
	root.InitDefaultCompletionCmd() // before those below, which must see it
	completeFlags(root)
	markUsageErrors(root)
	a.translate(root)
	if a.columns > 0 {
		unbreak(root)
	}
	root.SetArgs(dotNetFlags(args))
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	code := a.tell(cmd, err)
	if !a.printed && (a.json || slices.Contains(args, "--json")) { // a flag before it may be the one that is wrong
		text := lang.ErrorMessage(err)
		if errors.Is(err, errNoConfiguration) {
			text = noConfiguration
		}
		_ = a.printJSON(failure{strings.ReplaceAll(strings.TrimSpace(text.In(lang.English)), "\n", "; "), code}) // programs read the same in every language
	}
	return code
}

// failure is the document of a command that has none because it failed.
type failure struct {
	Error    string `json:"error"`
	ExitCode int    `json:"exit_code"`
}

// tell says on standard error why a command failed, and returns the exit code.
func (a *app) tell(cmd *cobra.Command, err error) int {
	var faults config.Faults
	var usage usageError
	switch {
	case errors.Is(err, errNoConfiguration):
		a.warn(lang.M("jdpay-listener: %s", noConfiguration))
		return exitUsage
	case errors.As(err, &faults):
		for _, f := range faults {
			a.warn(f.Message())
		}
		return exitUsage
	case errors.As(err, &usage):
		a.warn(lang.M("jdpay-listener: %s; see %s --help", a.oneLine(usage.error), cmd.CommandPath()))
		return exitUsage
	}
	if errors.Is(err, errSaid) {
		return exitFailed
	}
	a.warn(lang.M("jdpay-listener: %s", a.oneLine(err)))
	return exitFailed
}

// languageFlag returns the value of --lang, which may stand anywhere: help and usage errors need it before the line is parsed.
func languageFlag(args []string) (value string) {
	for i, arg := range args {
		if given, ok := strings.CutPrefix(arg, "--lang="); ok {
			value = given
		} else if arg == "--lang" && i+1 < len(args) {
			value = args[i+1]
		} else if arg == "--" {
			break
		}
	}
	return value
}

func (a *app) oneLine(err error) string {
	return strings.ReplaceAll(strings.TrimSpace(lang.ErrorMessage(err).In(a.lang)), "\n", "; ")
}

func (a *app) root() *cobra.Command {
	run := a.runCommand()
	printVersion := false
	root := &cobra.Command{
		Use:   "jdpay-listener",
		Short: "Settle JD payments from MNS, and tell the cabinet, JD and the ERP, without losing one",
		Long: `jdpay-listener takes JD payment notifications from an Aliyun MNS queue. It checks each one's signature, marks the order
paid in MySQL, tells the locker cabinet over MQTT and JD over HTTP, and writes the pay info.

Without a command it runs the daemon.`,
		Example: `  jdpay-listener --config /etc/jdpay/appsettings.json
  Mqtt__Server=10.0.0.5 jdpay-listener
  jdpay-listener config check --connect`,
		Args:                       noCommand,
		SuggestionsMinimumDistance: 2,
		SilenceErrors:              true,
		SilenceUsage:               true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if printVersion {
				return a.printVersion()
			}
			return run.RunE(cmd, args)
		},
	}
	root.Flags().BoolVar(&printVersion, "version", false, "print version, commit and Go version")
	flags := root.PersistentFlags()
	flags.StringArrayVar(&a.files, "config", nil, "configuration `FILE`, repeatable, merged in order (default JDPAY_CONFIG, else appsettings.json and appsettings.{Environment}.json here or in configs/, else in /etc/jdpay)")
	flags.StringArrayVar(&a.set, "set", nil, "one setting as `KEY=VALUE`, such as Mqtt:Server=10.0.0.5; also as --Mqtt:Server=10.0.0.5")
	flags.BoolVar(&a.json, "json", false, "print one JSON document")
	flags.String("lang", "", lang.Mark("`LANGUAGE` of all texts for people: en or zh (default by LC_ALL, LC_MESSAGES or LANG)")) // see languageFlag
	root.AddCommand(run, a.statusCommand(), a.migrateCommand(), a.configCommand(), a.jobsCommand(), a.traceCommand(), a.explainCommand(), a.findCommand(), a.auditCommand(), a.verifyCommand(), a.queueCommand(), a.sendCommand(), a.alertsCommand(), a.doctorCommand(), a.consoleCommand(), a.probeCommand(), a.versionCommand())
	root.CompletionOptions.HiddenDefaultCmd = true
	return root
}

// dotNetFlags turns flags of .NET programs, --Section:Key=value, into --set=Section:Key=value.
func dotNetFlags(args []string) []string {
	out := make([]string, 0, len(args))
	for i, arg := range args {
		if arg == "--" {
			return append(out, args[i:]...)
		}
		if name, ok := strings.CutPrefix(arg, "--"); ok {
			if key, _, assigned := strings.Cut(name, "="); assigned && strings.Contains(key, ":") {
				arg = "--set=" + name
			}
		}
		out = append(out, arg)
	}
	return out
}

// options returns the sources of the configuration.
func (a *app) options() config.Options { return config.Options{Files: a.files, Set: a.set} }

// errNoConfiguration means that nothing is configured anywhere.
var errNoConfiguration = errors.New("no configuration was found")

// noConfiguration says where it was looked for.
var noConfiguration = lang.M("no configuration was found: neither --config nor %s names a file, there is no appsettings.json here, in configs/ or in %s, and no setting is in the environment",
	config.FilesVariable, config.HostDir)

// loadAll reads the configuration. Where there is none at all, the error is errNoConfiguration and not each key that is missing; it
// wraps those.
func (a *app) loadAll() (*config.Loaded, error) {
	loaded, err := setup.Load(a.options())
	var faults config.Faults
	if !errors.As(err, &faults) || len(loaded.Files) > 0 || loaded.FilesFrom != config.HostDir {
		return loaded, err
	}
	for _, s := range loaded.Effective() {
		if strings.Contains(s.Source, " ") { // "env …" or "flag …"; the others are defaults, or follow from those
			return loaded, err
		}
	}
	return loaded, errors.Join(errNoConfiguration, err)
}

// load reads the configuration and drops its warnings, which run, config check and doctor print: most do not concern the
// other commands.
func (a *app) load() (*config.Config, error) {
	loaded, err := a.loadAll()
	if err != nil {
		return nil, err
	}
	return loaded.Config, nil
}

// printJSON prints one JSON document. Control and invisible characters are escaped.
func (a *app) printJSON(v any) error {
	a.printed = true
	e := json.NewEncoder(printable.Lines{W: unwrapped(a.stdout)})
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
