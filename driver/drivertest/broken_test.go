package drivertest_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/drivertest"
	"github.com/troupe-dev/troupe/driver/sim"
)

// broken are drivers with a defect each, and the part of the contract that must find it.
var broken = map[string]struct {
	part   string
	around driver.Around
	kind   func(*driver.Kind)
	cloud  sim.Options
}{
	"makes doubles":           {part: "CreateTwice", kind: func(k *driver.Kind) { k.Guarantee = driver.Token }},
	"makes doubles at once":   {part: "CreateAtOnce", kind: func(k *driver.Kind) { k.Guarantee = driver.Token }},
	"does not destroy":        {part: "Life", around: skipped("destroy")},
	"refuses a second time":   {part: "DestroyTwice", around: once("destroy")},
	"lists in part":           {part: "ListMany", cloud: sim.Options{ListDrop: 0.5}},
	"ignores its context":     {part: "CreateWithCancelledContext", around: uncancelled},
	"does not watch":          {part: "Watch", around: silent("watch")},
	"does not act":            {part: "Actions", around: skipped("act")},
	"does not stamp":          {part: "Generation", around: skipped("stamp")},
	"keeps resources":         {part: "Resources", around: skipped("remove-resource")},
	"promises actions":        {part: "ActionsRefused", around: skipped("act")},
	"does not boot":           {part: "Life", cloud: sim.Options{BootFailures: 1}},
	"has an untyped option":   {part: "Kind", kind: func(k *driver.Kind) { k.Options = []driver.Option{{Name: "x"}} }},
	"forgets when it is shut": {part: "Reopen", kind: forgets},
	"shows all installations": {part: "ListOwnOnly", kind: shares},
}

func skipped(name string) driver.Around {
	return func(ctx context.Context, call *driver.Call, do func(context.Context) error) error {
		if call.Name == name {
			return nil
		}
		return do(ctx)
	}
}

func silent(name string) driver.Around {
	return func(ctx context.Context, call *driver.Call, do func(context.Context) error) error {
		if call.Name == name {
			<-ctx.Done()
			return ctx.Err()
		}
		return do(ctx)
	}
}

func once(name string) driver.Around {
	seen := map[driver.MachineID]bool{}
	return func(ctx context.Context, call *driver.Call, do func(context.Context) error) error {
		if call.Name == name && seen[call.ID] {
			return driver.ErrNotFound
		}
		seen[call.ID] = call.Name == name
		return do(ctx)
	}
}

func uncancelled(ctx context.Context, call *driver.Call, do func(context.Context) error) error {
	if call.Name == "create" || call.Name == "list" {
		ctx = context.WithoutCancel(ctx)
	}
	return do(ctx)
}

func forgets(k *driver.Kind) {
	k.New = func(ctx context.Context, cfg driver.Config) (driver.Driver, error) {
		return sim.NewCloud(sim.Options{Guarantee: driver.Token}).Kind().New(ctx, cfg)
	}
}

func shares(k *driver.Kind) {
	inner := k.New
	k.New = func(ctx context.Context, cfg driver.Config) (driver.Driver, error) {
		cfg.Installation = "same"
		return inner(ctx, cfg)
	}
}

// TestBroken runs the contract on the broken driver that the environment names: in a process of its own,
// because it must fail.
func TestBroken(t *testing.T) {
	b, ok := broken[os.Getenv("TROUPE_BROKEN_DRIVER")]
	if !ok {
		t.Skip("run by TestDefectsAreFound")
	}
	k := sim.NewCloud(b.cloud).Kind()
	if b.kind != nil {
		b.kind(k)
	}
	if b.around != nil {
		inner := k.New
		k.New = func(ctx context.Context, cfg driver.Config) (driver.Driver, error) {
			d, err := inner(ctx, cfg)
			return driver.Intercept(d, b.around), err
		}
	}
	drivertest.Run(t, drivertest.Harness{
		Kind: k, Config: func(testing.TB) driver.Config { return driver.Config{} }, Timeout: 100 * time.Millisecond,
	})
}

func TestDefectsAreFound(t *testing.T) {
	for name, b := range broken {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestBroken$/^"+b.part+"$")
			cmd.Env = append(os.Environ(), "TROUPE_BROKEN_DRIVER="+name)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestBroken/"+b.part) {
				t.Errorf("%s did not find it: %v\n%s", b.part, err, out)
			}
		})
	}
}
