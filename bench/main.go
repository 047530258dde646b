// Command bench measures what docs/performance.md states: on an embedded etcd with fsync and simulated
// machines, in this process. Each case prints its figures beside what must be reached.
//
//	go run ./bench            # the cases of a few seconds
//	go run ./bench rest mass  # these cases
//	go run ./bench -list
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
)

// A benchmark is one case.
type benchmark struct {
	name string
	help string
	long bool // minutes, and gigabytes: only when it is asked for
	run  func() error
}

var cases = []benchmark{
	{"deploy", "one service of 10,000 instances until RUNNING", false, deployOne},
	{"many", "1,000 services of 10 instances until all are RUNNING", false, deployMany},
	{"http", "1,000 services of 10 instances over HTTP", false, deployHTTP},
	{"get", "GET of one service over HTTP, under 50 writes/s", false, get},
	{"start", "the program on an empty folder", false, startUp},
	{"first-call", "first driver call after the answer, at 1,000 writes/s", false, firstCall},
	{"replace", "a killed process until its replacement runs", false, replaceProcess},
	{"react", "a sample over HTTP until the webhook, 100,000 alarms live, 50,000 samples/s", false, react},
	{"silence", "how late a series that fell silent is noticed", false, silence},
	{"intake", "samples/s over HTTP, stored and evaluated", false, intake},
	{"beside", "a value that crosses a threshold until the webhook, beside a Prometheus with rules of 1 s", false, besidePrometheus},
	{"grow", "a sample over HTTP until a policy has started a process", false, grow},
	{"occopus", "occopus-build as a process: 1 to 1,000 nodes and a chain of five stages of ten", false, occopusBuild},
	{"provision", "a service instance over OCCI until it is provisioned, with ten machines; 500 at once", false, provision},
	{"parts", "the evaluator with 1,000,000 parts of alarms", true, parts},
	{"soak", "1,000 random changes/s; SOAK=30m for half an hour", false, soak},
	{"flood", "samples, alarms, webhooks and policies for SOAK (1m), and what they leave behind", false, soakReact},
	{"rest", "100,000 services of 10 instances at rest, then kill -9 and restart", true, rest},
	{"mass", "100,000 of 1,000,000 instances fail at once", true, mass},
}

func main() {
	// Sub-commands of this program's own.
	if len(os.Args) > 2 && os.Args[1] == "supervise" {
		supervise(os.Args[2:])
	}
	if len(os.Args) > 2 && os.Args[1] == "child" {
		exit(child(os.Args[2], os.Args[3:]))
	}
	list := flag.Bool("list", false, "list the cases")
	profile := flag.String("cpuprofile", "", "write a CPU profile to this file")
	flag.Parse()
	if *list {
		for _, c := range cases {
			fmt.Printf("%-11s %s\n", c.name, c.help)
		}
		return
	}
	if *profile != "" {
		f, err := os.Create(*profile)
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			exit(err)
		}
		defer pprof.StopCPUProfile()
	}
	if err := runAll(flag.Args()); err != nil {
		pprof.StopCPUProfile()
		exit(err)
	}
}

func runAll(names []string) error {
	for _, n := range names {
		if !slices.ContainsFunc(cases, func(c benchmark) bool { return c.name == n }) {
			return fmt.Errorf("no case %q; see -list", n)
		}
	}
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("%d processors; load before: %s", runtime.NumCPU(), load)
	for _, c := range cases {
		if len(names) == 0 && c.long || len(names) > 0 && !slices.Contains(names, c.name) {
			continue
		}
		fmt.Printf("%s: %s\n", c.name, c.help)
		if err := c.run(); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// figure prints a figure and what it must reach. atLeast says that more is better.
func figure(what string, got, must float64, unit string, atLeast bool) {
	verdict, ratio := "reached", must/got
	if atLeast {
		ratio = got / must
	}
	if ratio < 1 {
		verdict = "MISSED"
	}
	fmt.Printf("  %-52s %10.4g %-14s must be %s %.4g: %s, %.2f×\n", what, got, unit, map[bool]string{true: "over", false: "under"}[atLeast], must, verdict, ratio)
}

// note prints a figure that has no bound.
func note(what string, got any, unit string) {
	fmt.Println(strings.TrimRight(fmt.Sprintf("  %-52s %10v %s", what, got, unit), " "))
}
