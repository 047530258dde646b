package service

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/troupe-dev/troupe/driver"
)

var update = flag.Bool("update", false, "write the plans and explanations of the scenarios anew")

// TestScenarios plays the files in testdata/*.txtar; testdata/README.md says how they are written.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			x := &scene{archive: a, did: map[string]int{}}
			for n, line := range strings.Split(string(a.Comment), "\n") {
				if err := x.line(line); err != nil {
					story := ""
					if x.w != nil {
						story = x.w.summary() + "\n" + storyOf(x.w)
					}
					t.Fatalf("%s:%d: %s\n%v\n\n%s", file, n+1, line, err, story)
				}
			}
			if x.refusal != nil {
				t.Fatalf("%s: the last refusal was not expected: %v", file, x.refusal)
			}
			if x.w != nil {
				x.w.truth()
				if len(x.w.broken) > 0 {
					t.Fatalf("%s: %s", file, strings.Join(x.w.broken, "\n"))
				}
			}
			if x.changed {
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// A scene is a scenario while it is played: a world whose back end does at once what it is asked for,
// unless the scenario says otherwise.
type scene struct {
	w       *world
	archive *txtar.Archive
	silent  bool // effects wait for "answer"
	wrong   []trouble
	refusal error
	did     map[string]int // effects carried out, "create app", "reboot app"
	seen    int            // events that "expect event" has passed
	changed bool           // the archive has to be written back
}

// trouble is what goes wrong with some effects.
type trouble struct {
	kind   EffectKind
	driver string // "" for all
	how    string
}

// line plays one line.
func (x *scene) line(line string) error {
	words, err := split(line)
	if err != nil || len(words) == 0 {
		return err
	}
	refused := words[0] == "!"
	if refused {
		words = words[1:]
	}
	do, ok := directives[words[0]]
	if !ok {
		return fmt.Errorf("there is no directive %q", words[0])
	}
	if x.w == nil && words[0] != "service" && words[0] != "backend" {
		return errors.New("a scenario begins with: service FILE, or backend …")
	}
	if x.refusal != nil && words[0] != "expect" {
		return fmt.Errorf("the refusal before was not expected: %w", x.refusal)
	}
	err = do(x, words[1:])
	var r *Refusal
	switch {
	case errors.As(err, &r) && refused:
		x.refusal, err = r, nil
	case err == nil && refused:
		return errors.New("it was not refused")
	case err != nil:
		return err
	}
	x.run()
	return nil
}

// split cuts a line into words; "…" keeps words together and # begins a comment.
func split(line string) (words []string, err error) {
	for line = strings.TrimSpace(line); line != "" && line[0] != '#'; line = strings.TrimSpace(line) {
		end := strings.IndexByte(line, ' ')
		word := line
		if line[0] == '"' {
			q, err := strconv.QuotedPrefix(line)
			if err != nil {
				return nil, fmt.Errorf("quotes in %s: %w", line, err)
			}
			if word, err = strconv.Unquote(q); err != nil {
				return nil, err
			}
			end = len(q)
		} else if end < 0 {
			end = len(line)
		} else {
			word = line[:end]
		}
		words, line = append(words, word), line[end:]
	}
	return words, nil
}

// run lets the back end answer what it was asked for.
func (x *scene) run() {
	for x.w != nil && !x.silent && (len(x.w.pending) > 0 || len(x.w.late) > 0) {
		x.answer()
	}
}

// answer carries out what is under way now, and tells.
func (x *scene) answer() {
	for len(x.w.pending) > 0 {
		e := x.w.pending[0]
		x.w.pending = x.w.pending[1:]
		x.count(e)
		x.w.answer(e, x.fate(e))
	}
	for len(x.w.late) > 0 {
		x.w.deliver(0)
	}
}

func (x *scene) count(e Effect) {
	name := map[EffectKind]string{DoCreate: "create", DoDestroy: "destroy", DoRefresh: "refresh", DoRemove: "remove", DoMake: "make", DoUnmake: "unmake", DoSupply: "supply", DoDismiss: "dismiss", DoEvaluate: "evaluate", DoAct: string(e.Action)}[e.Kind]
	if e.Kind == DoDestroy && e.Mode == driver.Hard {
		x.did["destroy-hard"]++
	}
	x.did[name]++
	if r := x.w.svc.RoleOf(e); r != nil {
		x.did[name+" "+r.Name]++
	}
	if y := x.w.svc.SupplierOf(e); y != nil && (e.Kind == DoSupply || e.Kind == DoDismiss) {
		x.did[name+" "+y.Name]++
	}
}

func (x *scene) fate(e Effect) string {
	for _, t := range x.wrong {
		r := x.w.svc.RoleOf(e)
		if t.kind == e.Kind && (t.driver == "" || (r != nil && r.Spec.Machine.Implementations[e.Impl].Driver == t.driver)) {
			return t.how
		}
	}
	return ""
}

// advance lets time pass; what falls due meanwhile happens at its time.
func (x *scene) advance(d time.Duration) {
	end := x.w.now.Add(d)
	x.run()
	for !x.w.wakeAt.IsZero() && !x.w.wakeAt.After(end) {
		if x.w.wakeAt.After(x.w.now) {
			x.w.now = x.w.wakeAt
		}
		x.w.decide()
		x.run()
	}
	x.w.now = end
	x.w.decide()
}

// instance finds "app/2": the youngest instance of role app with number 2.
func (x *scene) instance(name string) (*Instance, error) {
	role, number, ok := strings.Cut(name, "/")
	n, err := strconv.Atoi(number)
	if !ok || err != nil {
		return nil, fmt.Errorf("%q is no instance; write role/number", name)
	}
	r := x.w.svc.Role(role)
	if r == nil {
		return nil, fmt.Errorf("there is no role %q", role)
	}
	var found *Instance
	for i := range r.Instances {
		if int(i.Number) == n && (found == nil || i.Phase != Stopping) {
			found = i
		}
	}
	if found == nil {
		return nil, fmt.Errorf("there is no instance %s", name)
	}
	return found, nil
}

// section returns a file of the scenario.
func (x *scene) section(name string) ([]byte, error) {
	for _, f := range x.archive.Files {
		if f.Name == name {
			return f.Data, nil
		}
	}
	return nil, fmt.Errorf("the scenario has no section -- %s --", name)
}

// durations are the keys of a specification whose values may be written as "30s".
var durations = []string{"cooldown", "start_timeout", "stop_timeout", "stable", "action_period", "retain", "interval", "timeout", "start_period", "settle", "period", "stabilise", "idle", "down", "after", "lead"}

// spec reads a specification in YAML with the names of its JSON; what a scenario does not care for
// has the defaults of Troupe's own format.
func (x *scene) spec(name string) (*Spec, error) {
	data, err := x.section(name)
	if err != nil {
		return nil, err
	}
	s := &Spec{Name: "web", Strategy: Straight}
	if err := decodeYAML(data, s); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for n := range s.Roles {
		completeRole(&s.Roles[n])
	}
	for n := range s.Resources {
		completeResource(&s.Resources[n])
	}
	for n := range s.Services {
		completeSupplier(&s.Services[n])
	}
	return s, Validate(s)
}

func completeRole(r *RoleSpec) {
	set := func(p *string, v string) {
		if *p == "" {
			*p = v
		}
	}
	set((*string)(&r.Heal), string(HealAuto))
	set((*string)(&r.Identity), string(New))
	set((*string)(&r.OnGone), string(Replace))
	set((*string)(&r.Restart), string(Always))
	if r.Update.Settle == nil { // scenarios that do not ask for it need not wait
		r.Update.Settle = new(time.Duration)
	}
	if r.Machine.Implementations == nil {
		r.Machine.Implementations = []Implementation{{Driver: "sim"}}
	}
}

func decodeYAML(data []byte, into any) error {
	var tree any
	if err := yaml.Unmarshal(data, &tree); err != nil {
		return err
	}
	text, err := json.Marshal(spellOut(tree))
	if err != nil {
		return err
	}
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// spellOut turns durations into nanoseconds.
func spellOut(tree any) any {
	switch v := tree.(type) {
	case map[string]any:
		for k := range v {
			if text, ok := v[k].(string); ok && slices.Contains(durations, k) {
				if d, err := time.ParseDuration(text); err == nil {
					v[k] = int64(d)
				}
			}
			v[k] = spellOut(v[k])
		}
	case []any:
		for n := range v {
			v[n] = spellOut(v[n])
		}
	}
	return tree
}

// golden holds a text against a section, or writes the section.
func (x *scene) golden(name, got string) error {
	for n, f := range x.archive.Files {
		if f.Name != name {
			continue
		}
		if *update && string(f.Data) != got {
			x.archive.Files[n].Data, x.changed = []byte(got), true
		}
		if diff := cmp.Diff(string(x.archive.Files[n].Data), got); diff != "" {
			return fmt.Errorf("section %s differs (-update writes it anew):\n%s", name, diff)
		}
		return nil
	}
	return fmt.Errorf("the scenario has no section -- %s --", name)
}
