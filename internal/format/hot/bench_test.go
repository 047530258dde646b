package hot

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/internal/render"
	"github.com/troupe-dev/troupe/internal/service"
)

// thousand is a template of so many servers, each with user data of its own that shows the first one's address.
func thousand(n int) []byte {
	var b strings.Builder
	b.WriteString("heat_template_version: 2018-08-31\nparameters:\n  greeting: {type: string, default: hello}\nresources:\n")
	for i := range n {
		fmt.Fprintf(&b, "  server%d:\n    type: OS::Nova::Server\n    properties:\n      image: ubuntu\n      flavor: m1.small\n      user_data:\n"+
			"        str_replace:\n          template: |\n            #!/bin/sh\n            echo $greeting from %d to $first\n          params:\n            $greeting: {get_param: greeting}\n", i, i)
		if i > 0 {
			b.WriteString("            $first: {get_attr: [server0, first_address]}\n")
		}
	}
	b.WriteString("outputs:\n  first: {value: {get_attr: [server0, first_address]}}\n")
	return []byte(b.String())
}

// BenchmarkThousandServers is all that `troupe plan` does on the server with a template of 1,000 servers.
func BenchmarkThousandServers(b *testing.B) {
	text := thousand(1000)
	b.ReportAllocs()
	began := processorTime(b)
	defer func() { b.ReportMetric(float64(processorTime(b)-began)/1e6/float64(b.N), "cpu-ms/op") }()
	for b.Loop() {
		tp, err := Parse("web.yaml", text, nil, Options{})
		if err != nil {
			b.Fatal(err)
		}
		spec, _, err := tp.Compile(options("sim"))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := render.CheckNames(spec, render.Rules{}); err != nil {
			b.Fatal(err)
		}
		if p := service.PlanNew(spec, time.Unix(0, 0)); p.Total != 1000 {
			b.Fatalf("%d instances", p.Total)
		}
	}
}

// processorTime is what this process has had of the processors: on a busy machine it says more than the clock.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkParts(b *testing.B) {
	text := thousand(1000)
	tp, err := Parse("web.yaml", text, nil, Options{})
	if err != nil {
		b.Fatal(err)
	}
	spec, _, err := tp.Compile(options("sim"))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("parse", func(b *testing.B) {
		began := processorTime(b)
		defer func() { b.ReportMetric(float64(processorTime(b)-began)/1e6/float64(b.N), "cpu-ms/op") }()
		for b.Loop() {
			_, _ = Parse("web.yaml", text, nil, Options{})
		}
	})
	b.Run("compile", func(b *testing.B) {
		began := processorTime(b)
		defer func() { b.ReportMetric(float64(processorTime(b)-began)/1e6/float64(b.N), "cpu-ms/op") }()
		for b.Loop() {
			_, _, _ = tp.Compile(options("sim"))
		}
	})
	b.Run("check", func(b *testing.B) {
		began := processorTime(b)
		defer func() { b.ReportMetric(float64(processorTime(b)-began)/1e6/float64(b.N), "cpu-ms/op") }()
		for b.Loop() {
			_, _ = render.CheckNames(spec, render.Rules{})
		}
	})
	b.Run("plan", func(b *testing.B) {
		began := processorTime(b)
		defer func() { b.ReportMetric(float64(processorTime(b)-began)/1e6/float64(b.N), "cpu-ms/op") }()
		for b.Loop() {
			service.PlanNew(spec, time.Unix(0, 0))
		}
	})
}
