package oneflow_test

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/api/oneflow"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
)

// A recording is a scenario played on an OpenNebula 7.4 server.
type recording struct {
	Scenario  string     `json:"scenario"`
	Exchanges []exchange `json:"exchanges"`
}

type exchange struct {
	Note, Method, Path, Authorization, Body, Answer, Server string
	Status                                                  int
	Observed                                                bool // something done or seen beside the API
}

// poll: the exchange was kept because the service had just changed to what it shows.
func (x *exchange) poll() bool { return strings.HasPrefix(x.Note, "poll:") }

// elasticity is the scenario of section 10.
const elasticity = "28-elasticity-policy"

func record(t *testing.T, path string) recording {
	t.Helper()
	f, err := os.Open(path)
	check(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	check(t, err)
	var r recording
	check(t, json.NewDecoder(z).Decode(&r))
	// Cooldowns and periods of some seconds teach nothing that one or two do not.
	cooldown, period := regexp.MustCompile(`(\\?"cooldown\\?": )[2346]\b`), regexp.MustCompile(`(\\?"period\\?": )5\b`)
	short := func(text string) string {
		text = cooldown.ReplaceAllString(text, "${1}1")
		if r.Scenario == elasticity {
			text = period.ReplaceAllString(text, "${1}2")
		}
		return text
	}
	for n := range r.Exchanges {
		x := &r.Exchanges[n]
		x.Body, x.Answer = short(x.Body), short(x.Answer)
		if r.Scenario == elasticity && x.Method == "GET" && !x.poll() {
			x.Note = "poll: " + x.Note // the recorder had waited
		}
	}
	return r
}

// Exceptions are where the face differs from what was recorded, on purpose. A line is: scenario and
// exchanges ("13-scale/5-8", "*"), field, which may end in "*", and the reason. Each must be needed.
type exceptions struct {
	mu    sync.Mutex
	lines []*exception
}

type exception struct {
	line            int
	scenario, field string
	from, to        int
	used            bool
}

func readExceptions(t *testing.T) *exceptions {
	t.Helper()
	text, err := os.ReadFile("testdata/exceptions.txt")
	check(t, err)
	e := new(exceptions)
	for n, line := range strings.Split(string(text), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.SplitN(line, " | ", 3)
		if len(fields) != 3 || strings.TrimSpace(fields[2]) == "" {
			t.Fatalf("exceptions.txt:%d: want \"exchange | field | reason\"", n+1)
		}
		x := &exception{line: n + 1, field: strings.TrimSpace(fields[1]), to: 1 << 30}
		name, span, ok := strings.Cut(strings.TrimSpace(fields[0]), "/")
		x.scenario = name
		if ok {
			first, last, isSpan := strings.Cut(span, "-")
			x.from, err = strconv.Atoi(first)
			check(t, err)
			x.to = x.from
			if isSpan {
				x.to, err = strconv.Atoi(last)
				check(t, err)
			}
		}
		e.lines = append(e.lines, x)
	}
	return e
}

// allows reports whether a line covers the difference.
func (e *exceptions) allows(scenario string, n int, field string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	found := false
	for _, x := range e.lines {
		prefix, wild := strings.CutSuffix(x.field, "*")
		if (x.scenario == "*" || x.scenario == scenario) && x.from <= n && n <= x.to && (x.field == field || wild && strings.HasPrefix(field, prefix)) {
			x.used, found = true, true
		}
	}
	return found
}

// unused fails the test for lines of the scenarios that were played and that nothing needed.
func (e *exceptions) unused(t *testing.T, played func(scenario string) bool) {
	t.Helper()
	for _, x := range e.lines {
		if !x.used && played(x.scenario) {
			t.Errorf("exceptions.txt:%d: %s %s: nothing needs it", x.line, x.scenario, x.field)
		}
	}
}

// What OpenNebula's server was recorded to say, the face says too, but for the exceptions.
func TestRecordings(t *testing.T) {
	allowed := readExceptions(t)
	files, err := filepath.Glob("testdata/golden/*.json.gz")
	check(t, err)
	if len(files) != 7 {
		t.Fatalf("%d recordings, want 7", len(files))
	}
	t.Run("group", func(t *testing.T) {
		for _, file := range files {
			r := record(t, file)
			t.Run(r.Scenario, func(t *testing.T) {
				t.Parallel()
				newPlayer(t, r, allowed, 300*time.Millisecond).play() // slow enough that every state is seen
			})
			t.Run(r.Scenario+" as the reference", func(t *testing.T) {
				t.Parallel()
				p := newPlayer(t, r, allowed, 20*time.Millisecond, func(o *oneflow.Options) { o.Reference = true })
				p.reference = true
				p.play()
			})
		}
	})
	if !t.Failed() {
		allowed.unused(t, func(scenario string) bool { return scenario != "manual" })
	}
}

// A player repeats a recording.
type player struct {
	*stage
	recording
	allowed *exceptions
	ids     map[string]string // of documents, recorded to ours
	gate    string            // URL of OneGate
	// reference: the face answers 500 where the reference does, and that is what is compared.
	reference bool
}

func newPlayer(t *testing.T, r recording, allowed *exceptions, delay time.Duration, change ...func(*oneflow.Options)) *player {
	s := newStage(t, sim.Options{Seed: 1, BootDelay: delay, DestroyDelay: delay}, change...)
	ctx := t.Context()
	for _, name := range []string{"router", "spare"} { // numbers 2 and 3
		m := service.Machine{Implementations: []service.Implementation{{Driver: "sim"}}}
		_, err := s.Control.PutMachine(ctx, s.Root(), name, m, 0o644)
		check(t, err)
	}
	g, err := s.Directory.AddGroup(ctx, "devs", identity.Quota{})
	check(t, err)
	u, err := s.Directory.AddUser(ctx, identity.NewUser{Name: "alice", Password: "opennebula", Group: &g.ID})
	check(t, err)
	if u.ID == 0 || g.ID == 0 {
		t.Fatal("alice must not be an administrator")
	}
	p := &player{stage: s, recording: r, allowed: allowed, ids: make(map[string]string)}
	p.gate = p.openGate()
	return p
}

// passing are the states that end by themselves, and soon.
var passing = map[string]bool{"1": true, "3": true, "8": true, "11": true}

func (p *player) play() {
	for n := range p.Exchanges {
		x := &p.Exchanges[n]
		p.prepare(x)
		if p.reference && x.poll() && passing[fmt.Sprint(apitest.At(apitest.Decode(x.Answer), "DOCUMENT", "TEMPLATE", "BODY", "state"))] {
			continue // errors alone are compared: no need to see every state
		}
		if x.Observed || p.allowed.allows(p.Scenario, n, "exchange") {
			continue
		}
		if x.Server == "OneGate" {
			p.tell(n, x)
			continue
		}
		p.repeat(n, x)
		if x.Note == "cardinality a word (counts as 0)" { // which is refused here: go on from the same state
			p.must(204, "POST", "/service/"+p.ids["136"]+"/scale", `{"role_name":"n","cardinality":0}`)
		}
	}
}

// prepare does what was done beside the API.
func (p *player) prepare(x *exchange) {
	switch {
	case x.Note == "instantiate with a driver that fails deploy":
		p.Cloud.Set(func(o *sim.Options) { o.BootFailures = 1 })
	case x.Note == "recover with the driver working":
		p.Cloud.Set(func(o *sim.Options) { o.BootFailures = 0 })
	case x.Note == "LOAD set: average 85":
		p.load("80", "90")
	case x.Note == "LOAD 5 on every VM":
		p.load("5", "5", "5", "5", "5")
	}
}

var idInPath = regexp.MustCompile(`^(/service(?:_template)?/)(\d+)`)

func (p *player) repeat(n int, x *exchange) {
	p.t.Helper()
	path := idInPath.ReplaceAllStringFunc(x.Path, func(found string) string {
		parts := idInPath.FindStringSubmatch(found)
		if ours, ok := p.ids[parts[2]]; ok {
			return parts[1] + ours
		}
		return found
	})
	header := http.Header{}
	if x.Authorization != "" {
		header.Set("Authorization", x.Authorization)
	}
	want := shape(x.Status, apitest.Decode(x.Answer))
	var got reply
	send := func() bool {
		got = p.sendWith("", x.Method, path, x.Body, header)
		if p.reference && x.poll() && strings.HasPrefix(want, "200 2 ") && fmt.Sprint(got.body("state")) == "10" { // the cooldown itself is compared without the switch
			p.must(204, "POST", path+"/action", act("recover", "{}"))
		}
		return !x.poll() || shape(got.Status, got.JSON) == want
	}
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !send() {
		select {
		case <-tick.C:
		case <-deadline:
			p.t.Fatalf("%s/%d %s: not within ten seconds: %s; it is %s", p.Scenario, n, x.Note, want, shape(got.Status, got.JSON))
		}
	}
	if id, ok := apitest.At(apitest.Decode(x.Answer), "DOCUMENT", "ID").(string); ok && p.ids[id] == "" && got.Status < 300 {
		p.ids[id] = got.id()
	}
	if !p.reference {
		p.compare(n, x, got)
	} else if x.Status >= 400 && (x.Status == 500) != (got.Status == 500) {
		p.t.Errorf("%s/%d %s (%s %s %s): recorded %d, we answer %d", p.Scenario, n, x.Note, x.Method, x.Path, x.Body, x.Status, got.Status)
	}
}

// shape is what polls were kept for: the state of a service, and state, cardinality and number of
// nodes of its roles.
func shape(status int, v any) string {
	body := apitest.At(v, "DOCUMENT", "TEMPLATE", "BODY")
	s := fmt.Sprint(status, " ", apitest.At(body, "state"))
	roles, _ := apitest.At(body, "roles").([]any)
	for _, r := range roles {
		nodes, _ := apitest.At(r, "nodes").([]any)
		s += fmt.Sprintf(" %v=%v:%v/%d", apitest.At(r, "name"), apitest.At(r, "state"), apitest.At(r, "cardinality"), len(nodes))
	}
	return s
}

func (p *player) compare(n int, x *exchange, got reply) {
	p.t.Helper()
	differ := func(field, want, have string) {
		p.t.Helper()
		if !p.allowed.allows(p.Scenario, n, field) {
			p.t.Errorf("%s/%d %s (%s %s %s)\n%s: recorded %s, we answer %s", p.Scenario, n, x.Note, x.Method, x.Path, x.Body, field, want, have)
		}
	}
	if got.Status != x.Status {
		differ("status", fmt.Sprint(x.Status, " ", x.Answer), fmt.Sprint(got.Status, " ", got.Text))
		return
	}
	want := apitest.Decode(x.Answer)
	if x.Status >= 400 {
		if got.At("error", "message") == nil {
			differ("error", x.Answer, got.Text)
		}
		if strings.Contains(x.Answer, "Error getting document [") && !strings.Contains(got.message(), "Error getting document [") {
			differ("error.message", x.Answer, got.Text)
		}
		return
	}
	recorded, ours := make(map[string]string), make(map[string]string)
	p.flatten(recorded, "", want, p.ids)
	p.flatten(ours, "", got.JSON, nil)
	for _, field := range slices.Sorted(maps.Keys(recorded)) {
		if have, ok := ours[field]; !ok || have != recorded[field] {
			differ(general(field), recorded[field], have)
		}
	}
	for _, field := range slices.Sorted(maps.Keys(ours)) {
		if _, ok := recorded[field]; !ok && !strings.Contains(field, ".log<") { // our log tells more
			differ("+"+general(field), "nothing", ours[field])
		}
	}
}

var index = regexp.MustCompile(`\[\d+\]`)

// general takes the indexes out of a field.
func general(field string) string {
	field = strings.TrimPrefix(field, ".DOCUMENT.TEMPLATE.")
	field = strings.TrimPrefix(field, ".DOCUMENT_POOL.DOCUMENT[0].TEMPLATE.")
	return index.ReplaceAllString(field, "[]")
}

var (
	volatile = regexp.MustCompile(`(registration_time|start_time|timestamp|last_eval|deploy_id|\.VM\.ID)$`)
	ofID     = regexp.MustCompile(`\(service_(\d+)\)`)
)

// flatten spreads a value into fields. Times and ids of machines only have to be there; ids of
// documents are those of ours. Of the log, each line recorded has to be there.
func (p *player) flatten(to map[string]string, at string, v any, ids map[string]string) {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			to[at] = "{}"
		}
		for k, x := range v {
			p.flatten(to, at+"."+k, x, ids)
		}
	case []any:
		if strings.HasSuffix(at, "BODY.log") {
			flattenLog(to, at, v)
			return
		}
		if len(v) == 0 {
			to[at] = "[]"
		}
		for n, x := range v {
			p.flatten(to, fmt.Sprintf("%s[%d]", at, n), x, ids)
		}
	case string:
		if strings.HasSuffix(at, "].ID") || strings.HasSuffix(at, "DOCUMENT.ID") {
			if ids != nil {
				v = ids[v]
			}
		}
		if volatile.MatchString(at) {
			v = "some"
		}
		to[at] = ofID.ReplaceAllStringFunc(v, func(found string) string {
			if ours, ok := ids[ofID.FindStringSubmatch(found)[1]]; ok {
				return "(service_" + ours + ")"
			}
			return found
		})
	default:
		if volatile.MatchString(at) {
			v = "some"
		}
		to[at] = fmt.Sprint(v)
	}
}

// flattenLog makes a field of each line; a state may have its reason behind it.
func flattenLog(to map[string]string, at string, log []any) {
	for _, e := range log {
		line, _ := e.(map[string]any)
		message := fmt.Sprint(line["message"])
		if state, ok := strings.CutPrefix(message, "New state: "); ok {
			message, _, _ = strings.Cut(state, " ")
		}
		to[at+"<"+message+">"] = "told"
	}
}
