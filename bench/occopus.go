package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// occopusBuild measures occopus-build as a user waits for it: the whole process, with the server that it starts and stops
// itself, and against one that runs.
func occopusBuild() error {
	dir, err := os.MkdirTemp("", "troupe-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o711); err != nil {
		return err
	}
	p := &occopusPrograms{dir: dir, program: filepath.Join(dir, "troupe")}
	if out, err := exec.Command("go", "build", "-o", p.program, "github.com/troupe-dev/troupe/cmd/troupe").CombinedOutput(); err != nil {
		return fmt.Errorf("build the program: %w: %s", err, out)
	}
	if err := p.files(); err != nil {
		return err
	}
	// seconds that must be reached, with the server of its own and against one that runs.
	must := map[string][2]float64{"1": {1, 0.3}, "10": {1, 0.3}, "100": {1, 0.3}, "1000": {2, 1}, "chain": {1, 0.3}}
	for w, way := range [...]string{"its own server", "a running one"} {
		if w == 1 {
			stop, err := p.serve()
			if err != nil {
				return err
			}
			defer stop()
		}
		if _, err := p.run("import", "nodes.yaml"); err != nil {
			return err
		}
		for _, name := range [...]string{"1", "10", "100", "1000", "chain"} {
			took, err := p.build(name)
			if err != nil {
				return err
			}
			figure("build of "+name+", "+way+" (median of 5)", took[2].Seconds(), must[name][w], "s", false)
		}
	}
	return nil
}

// occopusPrograms run Occopus' programs in a home folder of their own.
type occopusPrograms struct{ dir, program, url string }

// files writes the descriptions: one node of so many instances, and a chain of five nodes of ten.
func (p *occopusPrograms) files() error {
	texts := map[string]string{
		"nodes.yaml":                   "'node_def:simple':\n  - resource: {type: sim}\n    health_check: {ping: false}\n",
		".occopus/auth_data.yaml":      "resource: []\n",
		".occopus/occopus_config.yaml": "components: {resourcehandler: x, configmanager: x, infobroker: x, eventlog: x, uds: {protocol: redis}}\n",
		"chain.yaml":                   "",
		"1.yaml":                       "",
		"10.yaml":                      "",
		"100.yaml":                     "",
		"1000.yaml":                    "",
	}
	for _, n := range [...]string{"1", "10", "100", "1000"} {
		texts[n+".yaml"] = "user_id: x\ninfra_name: many\nnodes:\n  - {name: n, type: simple, scaling: {min: " + n + ", max: " + n + "}}\n"
	}
	var nodes, edges strings.Builder
	for i := range 5 {
		fmt.Fprintf(&nodes, "  - {name: n%d, type: simple, scaling: {min: 10, max: 10}}\n", i)
		if i > 0 {
			fmt.Fprintf(&edges, "  - [n%d, n%d]\n", i, i-1)
		}
	}
	texts["chain.yaml"] = "user_id: x\ninfra_name: chain\nnodes:\n" + nodes.String() + "dependencies:\n" + edges.String()
	if err := os.Mkdir(filepath.Join(p.dir, ".occopus"), 0o700); err != nil {
		return err
	}
	for name, text := range texts {
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (p *occopusPrograms) command(args ...string) *exec.Cmd {
	cmd := exec.Command(p.program, args...)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "HOME="+p.dir, "TROUPE_URL="+p.url, "TROUPE_USER=", "TROUPE_TOKEN=", "OCCOPUS_CONFIG_PATH=", "OCCOPUS_AUTH_DATA_PATH=")
	return cmd
}

// run runs one of the programs and returns the last line that it prints.
func (p *occopusPrograms) run(args ...string) (string, error) {
	out, err := p.command(append([]string{"occopus"}, args...)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("occopus-%s: %w\n%s", strings.Join(args, " "), err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1], nil
}

// build builds a description five times, with what was built before still there to be removed in between; the times are sorted.
func (p *occopusPrograms) build(name string) ([]time.Duration, error) {
	var took []time.Duration
	for range 5 {
		began := time.Now()
		id, err := p.run("build", name+".yaml")
		if err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
		if _, err := p.run("destroy", "-i", id); err != nil {
			return nil, err
		}
	}
	slices.Sort(took)
	return took, nil
}

// serve runs a server until stop is called.
func (p *occopusPrograms) serve() (stop func(), err error) {
	socket, ready := filepath.Join(p.dir, "socket"), filepath.Join(p.dir, "ready")
	config := filepath.Join(p.dir, "server.yaml")
	if err := os.WriteFile(config, []byte("drivers: [{driver: sim}]\n"), 0o600); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := p.command("server", "--config", config, "--data-dir", filepath.Join(p.dir, "data"), "--listen", "127.0.0.1:0", "--socket", socket, "--ready-file", ready)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	}
	for {
		if _, err := os.Stat(ready); err == nil {
			p.url = "unix://" + socket
			return stop, nil
		}
		select {
		case <-ctx.Done():
			stop()
			return nil, fmt.Errorf("the server is not ready: %w", ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}
