package service

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A mutant is a deliberately broken core: in one file one text is replaced. The law that it breaks must
// be found broken, or the properties watch over nothing.
type mutant struct {
	law      int
	what     string
	file     string
	old, new string
	property string // the test that has to fail
}

var mutants = []mutant{
	{1, "children do not wait for their parents", "decide.go", "if p.Ready() || s.heldTogether(p, r) {\n\t\t\tcontinue", "if p.State != Pending {\n\t\t\tcontinue", "TestLaws"},
	{1, "a parent is ready when one instance is", "role.go", "return r.Settled() >= r.Cardinality &&", "return r.Settled() >= min(1, r.Cardinality) &&", "TestLaws"},
	{1, "machines do not wait for their resources", "resource.go", "if x.Phase != ResourceReady {\n\t\t\treturn \"resource", "if x.Phase == ResourceWanted {\n\t\t\treturn \"resource", "TestLaws"},
	{1, "machines do not wait for needed services", "resource.go", "if !x.Ready() {\n\t\t\treturn \"service", "if x.Phase == SupplierWanted {\n\t\t\treturn \"service", "TestLaws"},
	{1, "a needed service does not wait for what it needs", "supplier.go", "if !r.Ready() {", "if r.State == Pending {", "TestLaws"},
	{1, "a needed service is ready without its outputs", "supplier.go", "if x.Outputs[name] == \"\" {", "if name == \"\" {", "TestLaws"},
	{3, "a needed service that may exist is forgotten", "supplier.go", "x.Made = true", "x.Made = false", "TestLaws"},
	{3, "a needed service that is gone is let go of at once", "supplied.go", "s.dismiss(x, now)\n\t\tfor", "x.Made = false\n\t\ts.failSupplier(x, x.Reason, true, now)\n\t\tfor", "TestLaws"},
	{5, "a needed service goes before the roles that need it", "supplier.go", "func(r *Role) bool { return r.State != Done }) {\n\t\t\treturn false\n\t\t}\n\t\tif x.Spec", "func(r *Role) bool { return r.State == Pending }) {\n\t\t\treturn false\n\t\t}\n\t\tif x.Spec", "TestLaws"},
	{5, "a role goes before a service that needs it", "lifecycle.go", "s.Leaving && !allGone(r.supplies)", "s.Leaving && false", "TestLaws"},
	{6, "a needed service may be awaited for ever", "supplier.go", "x.Begun.Add(x.timeout()) <= now {", "x.Begun.Add(x.timeout()) < 0 {", "TestNothingLastsForEver"},
	{7, "outputs are not stored", "record.go", "if s.gives {", "if s.gives && s.Spec == nil {", "TestRestartsAndBatches"},
	{2, "one machine too many is made", "decide.go", "s.surgeLimit(r) - r.live }", "s.surgeLimit(r) - r.live + 1 }", "TestLaws"},
	{2, "machines that are being removed do not count", "decide.go", "s.surgeLimit(r) - r.live }", "s.surgeLimit(r) - r.live + r.lists[Stopping].n }", "TestLaws"},
	{3, "what is left of a dead machine is forgotten", "heal.go", "if i.Phase == Queued || i.Phase == Backoff ||", "if i.Phase == Queued || i.Phase == Backoff || i.dead() ||", "TestLaws"},
	{3, "a stable successor does not wait for the destruction", "heal.go", "if r.Spec.Identity != Stable && i.dead() {", "if i.dead() {\n\t\tif r.Spec.Identity == Stable {\n\t\t\ts.clearMachine(i)\n\t\t\ts.setMachine(i, driver.Gone)\n\t\t\ts.queue(i, now)\n\t\t\treturn\n\t\t}", "TestLaws"},
	{3, "a resource that may exist is forgotten", "resource.go", "x.Made = true", "x.Made = false", "TestLaws"},
	{4, "the upper bound is not looked at", "command.go", "n > r.Spec.MaxOf() && len(chosen) == 0:", "n > r.Spec.MaxOf()+1 && len(chosen) == 0:", "TestLaws"},
	{4, "the lower bound is not looked at", "command.go", "!c.Force && n < r.Spec.MinOf():", "!c.Force && n < r.Spec.MinOf()-1:", "TestLaws"},
	{5, "all roles are removed at once", "lifecycle.go", "if c.State != Done {\n\t\t\treturn false", "if c.State == Pending {\n\t\t\treturn false", "TestLaws"},
	{5, "resources go before the roles", "resource.go", "return r.State != Done }", "return r.State == Pending }", "TestLaws"},
	{5, "a resource goes before what needs it", "resource.go", "return y.Phase != ResourceGone })", "return y.Phase == ResourceReady })", "TestLaws"},
	{6, "a resource may be awaited for ever", "resource.go", "&& x.Begun.Add(defaultTimeout) <= now {", "&& x.Begun.Add(defaultTimeout) < 0 {", "TestNothingLastsForEver"},
	{6, "a pause never ends", "heal.go", "s.wake(i.Until, i.Serial)\n\t\treturn", "return", "TestLaws"},
	{6, "a role may wait for ever", "lifecycle.go", "if now < limit {\n\t\ts.watch(r, limit, now)\n\t\treturn false\n\t}", "if now < limit+1<<62 {\n\t\treturn false\n\t}", "TestNothingLastsForEver"},
	{6, "a removal may last for ever", "decide.go", "if deadline <= now {\n\t\t\ti.Overdue = true", "if deadline < 0 {\n\t\t\ti.Overdue = true", "TestNothingLastsForEver"},
	{8, "an unmanaged service is looked after", "decide.go", "if s.unmanaged() {", "if s.unmanaged() && len(s.todo) == 0 {", "TestLaws"},
	{8, "one pass never ends", "manage.go", "case late:", "case late && s.State == Running:", "TestNothingLastsForEver"},
	{7, "failures are not stored", "record.go", "uint64(i.Failures)", "0", "TestRestartsAndBatches"},
	{7, "what is under way is not taken up again", "service.go", "!i.Phase.Settled() || len(i.Actions) > 0", "len(i.Actions) > 0", "TestRestartsAndBatches"},
}

// TestBrokenCores builds each mutant by an overlay and sees its law catch it.
func TestBrokenCores(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the package once for each broken core")
	}
	for n, m := range mutants {
		t.Run(fmt.Sprintf("law %d %s", m.law, m.what), func(t *testing.T) {
			t.Parallel()
			program := m.build(t, n)
			var out []byte
			for seed := 1; seed <= 5; seed++ { // another law may be broken first
				cmd := exec.Command(program, "-test.run", "^"+m.property+"$", "-test.timeout=60s", "-rapid.checks=20000",
					fmt.Sprintf("-rapid.seed=%d", seed), "-rapid.shrinktime=1ms", "-rapid.nofailfile")
				var err error
				if out, err = cmd.CombinedOutput(); err == nil {
					t.Fatalf("nothing noticed that %s", m.what)
				}
				if bytes.Contains(out, fmt.Appendf(nil, "law %d:", m.law)) {
					return
				}
			}
			t.Fatalf("law %d did not notice that %s; the properties said:\n%.3000s", m.law, m.what, lines(out, "draw"))
		})
	}
}

func (m *mutant) build(t *testing.T, n int) string {
	t.Helper()
	source, err := os.ReadFile(m.file)
	if err != nil {
		t.Fatal(err)
	}
	if c := strings.Count(string(source), m.old); c != 1 {
		t.Fatalf("%s holds the text to break %d times, not once; adapt the mutant to the code of today:\n%s", m.file, c, m.old)
	}
	dir := t.TempDir()
	broken := filepath.Join(dir, m.file)
	if err := os.WriteFile(broken, []byte(strings.Replace(string(source), m.old, m.new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	here, err := filepath.Abs(m.file)
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{here: broken}})
	if err != nil {
		t.Fatal(err)
	}
	list, program := filepath.Join(dir, "overlay.json"), filepath.Join(dir, fmt.Sprintf("broken%d.test", n))
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "test", "-vet=off", "-c", "-overlay", list, "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return program
}

// lines drops the lines that hold a word.
func lines(out []byte, without string) string {
	var b strings.Builder
	for l := range strings.Lines(string(out)) {
		if !strings.Contains(l, without) {
			b.WriteString(l)
		}
	}
	return b.String()
}
