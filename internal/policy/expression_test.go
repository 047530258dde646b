package policy

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// values are those of the published example: A is 40 and 60, CPU 33.333 and 20.
func values(name string) (float64, bool) {
	switch name {
	case "A":
		return Average([]string{"40", "60"})
	case "CPU":
		return Average([]string{"33.333", "20"})
	}
	return 0, false
}

func TestEval(t *testing.T) {
	for _, c := range []struct {
		text    string
		holds   bool
		printed string
	}{
		{"A > 40", true, "A[50.0] > 40"},
		{"A>50", false, "A[50.0] > 50"},
		{"a >= 50", true, "A[50.0] >= 50"},
		{"CPU > 20", true, "CPU[26.67] > 20"},
		{"FOO > 5", false, "FOO[--] > 5"},
		{"!(FOO > 5)", true, "!(FOO[--] > 5)"},
		{"!A > 90 & FOO > 3", true, "!A[50.0] > 90 & FOO[--] > 3"},
		{"FOO > 1 & FOO > 2 | A > 40", false, "FOO[--] > 1 & FOO[--] > 2 | A[50.0] > 40"},
		{"(FOO > 1 & FOO > 2) | A > 40", true, "(FOO[--] > 1 & FOO[--] > 2) | A[50.0] > 40"},
		{"3 > 2", true, "3 > 2"},
		{"A = 50.00 && A == 50 & A <= 50 & A >= 50", true, "A[50.0] = 50.00 && A[50.0] == 50 & A[50.0] <= 50 & A[50.0] >= 50"},
		{"A <> 50 || A != 50 | A < 50", false, "A[50.0] <> 50 || A[50.0] != 50 | A[50.0] < 50"},
		{"-1.5 < A", true, "-1.5 < A[50.0]"},
		{"A > -1", true, "A[50.0] > -1"},
		{" ( A > 1 ) ", true, "(A[50.0] > 1)"},
		{"! ( A > 1 )", false, "!(A[50.0] > 1)"},
		{"!!A>1", true, "!!A[50.0] > 1"},
		{`"A" > 1 & 'a' > 1`, true, "A[50.0] > 1 & A[50.0] > 1"},
		{"A\t>\n1", true, "A[50.0] > 1"},
		{"FOO != 1", false, "FOO[--] != 1"},
		{"FOO = FOO", false, "FOO[--] = FOO[--]"},
		{"a_1b > 0", false, "A_1B[--] > 0"},
		{"a > 08", true, "A[50.0] > 08"},
	} {
		holds, printed := Evaluate(c.text, values)
		if holds != c.holds || printed != c.printed {
			t.Errorf("%q: %v %q, want %v %q", c.text, holds, printed, c.holds, c.printed)
		}
	}
}

func TestParseExpressionErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "line 1, column 1: expected a name or a number, found the end"},
		{"A", "line 1, column 2: expected a comparison (= != < <= > >=), found the end"},
		{"A > +1", `line 1, column 5: expected a name or a number, found '+'`},
		{"A > 1e3", `line 1, column 6: expected "&", "|" or the end, found 'e'`},
		{"A > .5", `line 1, column 5: expected a name or a number, found '.'`},
		{"A > 5.", "line 1, column 7: expected a digit, found the end"},
		{"A > 0x10", `line 1, column 6: expected "&", "|" or the end, found 'x'`},
		{"A => 1", `line 1, column 4: expected a name or a number, found '>'`},
		{"A =< 1", `line 1, column 4: expected a name or a number, found '<'`},
		{"A === 1", `line 1, column 5: expected a name or a number, found '='`},
		{"A > 1 and B > 1", `line 1, column 7: expected "&", "|" or the end, found 'a'`},
		{"A gt 1", `line 1, column 3: expected a comparison (= != < <= > >=), found 'g'`},
		{"A + 1 > 2", `line 1, column 3: expected a comparison (= != < <= > >=), found '+'`},
		{"A.B > 1", `line 1, column 2: expected a comparison (= != < <= > >=), found '.'`},
		{"A-B > 1", `line 1, column 2: expected a comparison (= != < <= > >=), found '-'`},
		{"_A > 1", `line 1, column 1: expected a name or a number, found '_'`},
		{"1A > 1", `line 1, column 2: expected a comparison (= != < <= > >=), found 'A'`},
		{"(A > 1", `line 1, column 7: expected ")", found the end`},
		{"A > 1)", `line 1, column 6: expected "&", "|" or the end, found ')'`},
		{"A > 1 &", "line 1, column 8: expected a name or a number, found the end"},
		{"A > 1 &&& B > 1", `line 1, column 9: expected a name or a number, found '&'`},
		{"A > 1\n& B >", "line 2, column 6: expected a name or a number, found the end"},
		{`"A > 1`, `line 1, column 3: expected the closing quote ", found ' '`},
		{`"" > 1`, `line 1, column 2: expected a name, found '"'`},
		{"é > 1", `line 1, column 1: expected a name or a number, found 'é'`},
		{"A > 1 é", `line 1, column 7: expected "&", "|" or the end, found 'é'`},
		{"- 1 < A", `line 1, column 2: expected a digit, found ' '`},
	} {
		_, err := ParseExpression(c.text)
		if err == nil || err.Error() != c.want {
			t.Errorf("%q: %v, want %s", c.text, err, c.want)
		}
	}
}

func TestParseExpressionLimits(t *testing.T) {
	for _, text := range []string{
		strings.Repeat("(", 10_000) + "A>1" + strings.Repeat(")", 10_000),
		strings.Repeat("!", 10_000) + "A>1",
		strings.Repeat("!(", 30_000),
	} {
		_, err := ParseExpression(text)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || syntax.Column != MaxNesting+2 {
			t.Errorf("%.10s...: %v", text, err)
		}
	}
	if _, err := ParseExpression(strings.Repeat("A>1&", 20_000) + "A>1"); err == nil {
		t.Error("an expression over the limit was accepted")
	}
	e, err := ParseExpression(strings.Repeat("A>1&", 16_000) + "A>1")
	if err != nil {
		t.Fatal("a long chain:", err)
	}
	if holds, _ := e.Eval(values); !holds {
		t.Error("a long chain is false")
	}
}

func TestNames(t *testing.T) {
	e, err := ParseExpression("!b > 1 & (A > b | 'c' = 2)")
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(e.Names()); got != "[B A C]" {
		t.Error(got)
	}
	if got := e.String(); got != "!B > 1 & (A > B | C = 2)" {
		t.Error(got)
	}
}

func TestUnparsableIsFalse(t *testing.T) {
	holds, printed := Evaluate("A >", values)
	if want := "Parse error. 'A >': line 1, column 4: expected a name or a number, found the end"; holds || printed != want {
		t.Errorf("%v %q", holds, printed)
	}
}

func TestLeadingNumber(t *testing.T) {
	for text, want := range map[string]float64{
		"12abc": 12, "abc": 0, "": 0, "50": 50, "-3.5x": -3.5, " 7": 7, "1e3": 1000, "1e": 1, "5.": 5, ".5": 0, "+2": 2, "1.2.3": 1.2,
	} {
		if got := LeadingNumber(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestAverage(t *testing.T) {
	for _, c := range []struct {
		values []string
		want   float64
		ok     bool
	}{
		{nil, 0, false},
		{[]string{"12abc", "abc"}, 6, true},
		{[]string{"0.125"}, 0.13, true},
		{[]string{"-0.125"}, -0.13, true},
		{[]string{"33.333", "20"}, 26.67, true},
	} {
		if got, ok := Average(c.values); got != c.want || ok != c.ok {
			t.Errorf("%v: %v %v", c.values, got, ok)
		}
	}
}

func TestFormatFloat(t *testing.T) {
	for v, want := range map[float64]string{50: "50.0", 26.67: "26.67", 0: "0.0", -1.5: "-1.5", 1e15: "1000000000000000.0", 1e16: "1.0e+16", 1.25e-5: "1.25e-05"} {
		if got := FormatFloat(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}

// drawExpression draws the text of a valid expression.
func drawExpression(t *rapid.T, depth int) string {
	operands := []string{"A", "b", "CPU", "FOO", "1", "-2.5", "50"}
	kind := 0
	if depth > 0 {
		kind = rapid.IntRange(0, 3).Draw(t, "kind")
	}
	switch kind {
	case 1:
		return "!" + drawExpression(t, depth-1)
	case 2:
		return "( " + drawExpression(t, depth-1) + ")"
	case 3:
		op := rapid.SampledFrom([]string{"&", "&&", "|", "||"}).Draw(t, "operator")
		return drawExpression(t, 0) + op + drawExpression(t, depth-1)
	}
	op := rapid.SampledFrom([]string{"=", "==", "!=", "<>", "<", "<=", ">", ">="}).Draw(t, "comparison")
	return rapid.SampledFrom(operands).Draw(t, "left") + op + rapid.SampledFrom(operands).Draw(t, "right")
}

func TestPrintingKeepsTheMeaning(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := drawExpression(t, 5)
		first, err := ParseExpression(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		second, err := ParseExpression(first.String())
		if err != nil {
			t.Fatalf("%q: %v", first, err)
		}
		a, printedA := first.Eval(values)
		b, printedB := second.Eval(values)
		if a != b || printedA != printedB || first.String() != second.String() {
			t.Fatalf("%q and %q differ", text, second)
		}
	})
}

func TestNegationSwallowsTheRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := drawExpression(t, 4)
		plain, _ := Evaluate(text, values)
		if negated, _ := Evaluate("!"+text, values); negated == plain {
			t.Fatalf("!%s is %v like what it negates", text, plain)
		}
	})
}

func FuzzParseExpression(f *testing.F) {
	for _, s := range []string{"A > 40", "!(FOO > 5)", `"A"<>-1.5`, "a&b", "((", "A>1||B<2&&C=3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := ParseExpression(text)
		if err != nil {
			return
		}
		again, err := ParseExpression(e.String())
		if err != nil || again.String() != e.String() {
			t.Fatalf("%q printed as %q: %v", text, e, err)
		}
	})
}

func BenchmarkEval(b *testing.B) {
	e, err := ParseExpression("(CPU > 60 & A > 3) | !FOO < 10")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		e.Eval(func(string) (float64, bool) { return 50, true })
	}
}
