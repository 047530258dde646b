package alarm

import (
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func readJSON(t *testing.T, name string, into any) {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

// tree returns the boolean tree as the test data write it.
func tree(n *Node) any {
	if n.Operator == "" {
		return float64(n.Part)
	}
	out := []any{n.Operator}
	for i := range n.Children {
		out = append(out, tree(&n.Children[i]))
	}
	return out
}

type wantedPart struct {
	Function      Function
	MetricName    string `json:"metric_name"`
	Dimensions    map[string]string
	Operator      Operator
	Threshold     float64
	Period        int
	Periods       int
	Deterministic bool
}

func TestValidExpressions(t *testing.T) {
	var rows []struct {
		ID, Expression string
		Ambiguous      bool
		Deterministic  bool
		NormalForm     struct {
			Tree           any
			SubExpressions []wantedPart `json:"sub_expressions"`
			Canonical      []string
		} `json:"normal_form"`
	}
	readJSON(t, "expressions_valid.json", &rows)
	if len(rows) < 40 {
		t.Fatalf("only %d rows", len(rows))
	}
	for _, row := range rows {
		if row.Ambiguous {
			continue
		}
		for _, dialect := range []Dialect{Monasca, Troupe} {
			e, err := Parse(row.Expression, dialect)
			if err != nil {
				t.Errorf("%s %q: %v", row.ID, row.Expression, err)
				continue
			}
			if got := tree(&e.Root); !reflect.DeepEqual(got, row.NormalForm.Tree) {
				t.Errorf("%s: tree %v, want %v", row.ID, got, row.NormalForm.Tree)
			}
			if e.Deterministic() != row.Deterministic {
				t.Errorf("%s: deterministic %v", row.ID, e.Deterministic())
			}
			var parts []wantedPart
			var texts []string
			for _, p := range e.Parts {
				parts = append(parts, wantedPart{p.Function, p.Metric, p.Dimensions.Map(), p.Operator, p.Threshold, int(p.Period / time.Second), p.Times, p.Deterministic})
				texts = append(texts, p.String())
			}
			if !reflect.DeepEqual(parts, row.NormalForm.SubExpressions) {
				t.Errorf("%s: parts %+v, want %+v", row.ID, parts, row.NormalForm.SubExpressions)
			}
			if !slices.Equal(texts, row.NormalForm.Canonical) {
				t.Errorf("%s: canonical %q, want %q", row.ID, texts, row.NormalForm.Canonical)
			}
		}
	}
}

func TestInvalidExpressions(t *testing.T) {
	var rows []struct {
		ID, Expression string
		ErrorColumn    int    `json:"error_column"`
		ErrorKind      string `json:"error_kind"`
	}
	readJSON(t, "expressions_invalid.json", &rows)
	if len(rows) < 40 {
		t.Fatalf("only %d rows", len(rows))
	}
	for _, row := range rows {
		_, err := Parse(row.Expression, Monasca)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) {
			t.Errorf("%s %q: %v", row.ID, row.Expression, err)
			continue
		}
		if row.ErrorKind == "fatal" && syntax.Column != row.ErrorColumn {
			t.Errorf("%s %q: column %d, want %d", row.ID, row.Expression, syntax.Column, row.ErrorColumn)
		}
	}
}

func TestDialects(t *testing.T) {
	for text, want := range map[string]string{
		"avg(m, 1) > 80 times 3":                  "avg(m, 1) > 80.0 times 3",
		"avg(m, 2m) > 80":                         "avg(m, 120) > 80.0",
		"P95(m{a=b}, 30s) > 1":                    "p95(m{a=b}, 30) > 1.0",
		"p99.9(m, 90 S) > 1":                      "p99.9(m, 90) > 1.0",
		"rate(m, deterministic, 10) > 1":          "rate(m, deterministic, 10) > 1.0",
		"absent(m{h=a}, 1500ms) or avg(m, 1m)> 2": "(absent(m{h=a}, 1500ms) or avg(m) > 2.0)",
		"absent(m, 3s)":                           "absent(m, 3)",
		"absent(m, 1m)":                           "absent(m, 60)",
	} {
		e, err := Parse(text, Troupe)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if e.String() != want {
			t.Errorf("%s: %s, want %s", text, e, want)
		}
		if again, err := Parse(want, Troupe); err != nil || again.String() != want {
			t.Errorf("%s: %v, %v", want, again, err)
		}
		if _, err := Parse(text, Monasca); err == nil {
			t.Errorf("%s: is not Monasca's", text)
		}
	}
	for text, want := range map[string]string{
		"median(m) > 1":                   `column 1: no function "median"`,
		"avgg(m) > 1":                     `did you mean "avg"?`,
		"avg(m, 0) > 1":                   "column 8: the period is 0;",
		"avg(m, 1500ms)>1":                "column 8: the period 1.5s is not a whole",
		"absent(m)":                       "column 9: found ')' where a comma",
		"absent(m, 5ms)":                  "column 11: absent waits at least 100ms",
		"p0(m) > 1":                       "no function",
		"p100(m) > 1":                     "no function",
		"m > 1 times 1441":                "column 13: times 1441 is not from 1 to 1440",
		"avg(m, 400d) > 1":                "longer than a year",
		"é > x":                           "column 5: found 'x'",
		"m{a=b, a=c} > 1":                 `column 8: dimension "a" is given twice`,
		"a\xff > 1":                       "column 2: the expression is not UTF-8",
		"m{a= } > 1":                      "column 6: found '}'",
		"m > 1 and (n > 2":                "column 17: the expression ends where and, or, or )",
		"m\U0001F600 > 1":                 "column 2:",
		"m > " + strings.Repeat("9", 400): "too large",
	} {
		if _, err := Parse(text, Troupe); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestExpressionLimits(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("(", n) + "m > 1" + strings.Repeat(")", n) }
	if _, err := Parse(deep(MaxDepth), Monasca); err != nil {
		t.Error(err)
	}
	for _, text := range []string{deep(MaxDepth + 1), deep(10_000)} {
		if _, err := Parse(text, Monasca); err == nil || !strings.HasPrefix(err.Error(), "column 251: parentheses are nested") {
			t.Error(err)
		}
	}
	if _, err := Parse(strings.Repeat(" ", MaxText)+"m>1", Monasca); err == nil || !strings.Contains(err.Error(), "at most 65536 bytes") {
		t.Error(err)
	}
	many := strings.TrimSuffix(strings.Repeat("m>1 or ", MaxParts), " or ")
	if e, err := Parse(many, Monasca); err != nil || len(e.Parts) != MaxParts {
		t.Error(err)
	}
	if _, err := Parse(many+" or m>1", Monasca); err == nil || !strings.Contains(err.Error(), "at most 256 parts") {
		t.Error(err)
	}
}

// TestTruth: the tree of parts without UNDETERMINED is plain boolean logic.
func TestTruth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cells := make([]cell, 4)
		for i := range cells {
			cells[i].state = rapid.SampledFrom([]State{StateOK, StateAlarm}).Draw(t, "state")
		}
		on := func(i int) bool { return cells[i].state == StateAlarm }
		for text, want := range map[string]bool{
			"a>1 or b>1 and c>1":           on(0) || on(1) && on(2),
			"(a>1 or b>1) and c>1":         (on(0) || on(1)) && on(2),
			"a>1 and b>1 or c>1":           on(0) && on(1) || on(2),
			"a>1 and (b>1 or c>1 and d>1)": on(0) && (on(1) || on(2) && on(3)),
		} {
			e, err := Parse(text, Monasca)
			if err != nil {
				t.Fatal(err)
			}
			if got := e.Root.holds(cells); got != want {
				t.Fatalf("%s with %v: %v", text, cells, got)
			}
		}
	})
}

// FuzzParse: what parses has a canonical text that parses to itself, and Monasca's expressions are Troupe's.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"m>1", "avg(m{a=b, c= d e }, deterministic, 120) lt -2.50 times 3", "(a>1 or b>1)and c>1||d<2", "absent(m, 3s)", "p95(m, 2) >= 1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		own, err := Parse(text, Troupe)
		strict, strictErr := Parse(text, Monasca)
		if strictErr == nil && (err != nil || own.String() != strict.String()) {
			t.Fatalf("%q: %v and %v", text, strict, err)
		}
		var syntax *SyntaxError
		if err != nil {
			if !errors.As(err, &syntax) || syntax.Column < 1 || syntax.Column > len([]rune(text))+1 {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		canonical := own.String()
		again, err := Parse(canonical, Troupe)
		if len(canonical) > MaxText {
			return
		}
		if err != nil || again.String() != canonical {
			t.Fatalf("%q: canonical %q, again %v, %v", text, canonical, again, err)
		}
	})
}
