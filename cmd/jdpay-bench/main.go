// Command jdpay-bench measures the daemon as it runs in production: the built program, as a process of its own, on a
// private MariaDB with durable commits, Mosquitto and Redis, with stand-ins for MNS and JD in another process. A
// payment counts when it has all its effects, and a figure is valid when every effect was found exactly once and the
// audit is clean. The same run measures the loop that the daemon replaces (loop.go): on a shared machine their ratio is
// more reliable than seconds.
//
// Reading order: site.go, standins.go, cabinets.go and proxy.go (servers), order.go (data), measure.go (one measurement),
// check.go (its validity), the parts (drain.go, latency.go, …), and table.go, document.go and picture.go (output).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	if name, ok := strings.CutPrefix(strings.Join(os.Args[1:], " "), childFlag); ok {
		os.Exit(exitCode(runChild(name)))
	}
	os.Exit(exitCode(run(os.Args[1:], os.Stdout)))
}

func exitCode(err error) int {
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	default:
		fmt.Fprintln(os.Stderr, "jdpay-bench:", err)
		return 1
	}
}

// childFlag begins the command line of the bench's child processes; it is not for users.
const childFlag = "--child="

// runChild is the main function of a child process.
func runChild(name string) error {
	switch name {
	case "stand-ins":
		return serveStandIns()
	case "loop":
		return runLoop()
	}
	return fmt.Errorf("there is no child process %q", name)
}

// part is one part of the benchmark.
type part struct {
	name string
	run  func(b *bench, ctx context.Context) error
}

var parts = []part{
	{"drain", (*bench).drain},
	{"loop", (*bench).loop},
	{"latency", (*bench).latency},
	{"far", (*bench).far},
	{"trouble", (*bench).trouble},
	{"deploy", (*bench).deploy},
	{"replies", (*bench).replies},
	{"idle", (*bench).idle},
	{"size", (*bench).size},
	{"growth", (*bench).growth},
	{"purge", (*bench).purge},
	{"memory", (*bench).memory},
	{"runner", (*bench).runner},
}

// bench is one run of the benchmark.
type bench struct {
	*site
	sizes   sizes
	results *Results
}

// errInvalid makes the program exit with 1 after everything has been printed.
var errInvalid = errors.New("some figures are INVALID: their effects or their audit have faults; see the table")

func run(args []string, stdout io.Writer) error {
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = p.name
	}
	flags := flag.NewFlagSet("jdpay-bench", flag.ContinueOnError)
	quick := flags.Bool("quick", false, "smaller figures, in a few minutes")
	only := flags.String("only", "", "measure one part: "+strings.Join(names, ", "))
	out := flags.String("out", "bench-results", "`folder` for the raw figures, the table and the picture of the run")
	write := flags.Bool("write", false, "write docs/performance.md and docs/performance.svg, too")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 || *only != "" && !slices.Contains(names, *only) {
		return fmt.Errorf("there is no part %q: use one of %s", strings.Join(append(flags.Args(), *only), " "), strings.Join(names, ", "))
	}
	if *write && (*only != "" || *quick) {
		return errors.New("--write describes a whole run: leave --only and --quick out")
	}

	b := &bench{sizes: full, results: &Results{Started: time.Now(), Quick: *quick}}
	if *quick {
		b.sizes = quickSizes
	}
	// The servers inherit that interrupts are ignored: a terminal sends Ctrl-C to every process here, and the shells that
	// remove the servers' files must survive it. This process ends the servers.
	signal.Ignore(os.Interrupt)
	progress("building the programs and starting the servers")
	var err error
	if b.site, err = openSite(); err != nil {
		return err
	}
	defer b.site.close()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if b.results.Machine, err = b.describe(ctx); err != nil {
		return err
	}
	for _, p := range parts {
		if *only == "" || *only == p.name {
			if err := p.run(b, ctx); err != nil {
				if ctx.Err() != nil {
					return errors.New("interrupted; servers and files are removed")
				}
				return fmt.Errorf("%s: %w", p.name, err)
			}
		}
	}
	b.results.Took = time.Since(b.results.Started).Seconds()
	return b.report(stdout, *out, *write)
}

func (b *bench) report(stdout io.Writer, out string, write bool) error {
	printTable(stdout, b.results)
	path, err := save(out, b.results)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "\nraw figures, table and picture: %s.{json,txt,svg}\n", path)
	if write {
		if err := writeDocument(b.results); err != nil {
			return err
		}
	}
	if b.results.invalid() {
		return errInvalid
	}
	return nil
}

// progress prints what is being measured.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s  %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

// sizes are how much is measured.
type sizes struct {
	backlog      int           // payments of one drain
	repeat       int           // drains of the daemon, of which the median counts
	loopBacklog  [2]int        // of the loop, JD at once and JD slow
	rates        []int         // of part latency, in payments per second
	paced        time.Duration // of one rate
	alone        int           // single payments on an idle daemon
	unsent       int           // statuses that JD does not accept while it hangs
	stops        int           // at each latency of MNS
	rolling      time.Duration // of the payments while replicas are restarted
	settle, idle time.Duration // before and of the idle measurement
	growBacklog  int
	rows         []int
	replicas     []int
	memory       int // messages, then jobs
	waiting      time.Duration
	jobs         int // of the runner, per measurement
	workers      []int
}

var (
	full = sizes{
		backlog: 20_000, repeat: 3, loopBacklog: [2]int{3_000, 150}, rates: []int{10, 100, 300, 1000, 2000, 3000}, paced: 10 * time.Second, alone: 9,
		unsent: 20_000, stops: 4, rolling: 15 * time.Second,
		settle: 5 * time.Second, idle: 15 * time.Second, growBacklog: 10_000, rows: []int{1_000, 100_000, 1_000_000}, replicas: []int{1, 2, 4},
		memory: 100_000, waiting: 8 * time.Second, jobs: 5_000, workers: []int{1, 4, 16, 256},
	}
	quickSizes = sizes{
		backlog: 5_000, repeat: 1, loopBacklog: [2]int{500, 50}, rates: []int{100}, paced: 4 * time.Second, alone: 3,
		unsent: 5_000, stops: 2, rolling: 10 * time.Second,
		settle: 2 * time.Second, idle: 5 * time.Second, growBacklog: 3_000, rows: []int{1_000, 50_000}, replicas: []int{1, 2},
		memory: 10_000, waiting: 3 * time.Second, jobs: 1_000, workers: []int{1, 16},
	}
)
