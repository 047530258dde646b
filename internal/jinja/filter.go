package jinja

import (
	"encoding/base64"
	"maps"
	"slices"
	"strings"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/exec"
)

// The filters and tests of gonja that templates may use. Left out are those for HTML pages, and what would differ each time.
var (
	textFilters = words("capitalize center e escape forceescape indent lower replace safe string striptags title trim truncate upper urlencode wordcount wordwrap")
	listFilters = words("batch first groupby join last list map max min reject rejectattr select selectattr slice sort sum unique")
	restFilters = words("abs attr count d default dictsort filesizeformat float int length round")
	gonjaTests  = words("!= < <= == > >= callable defined divisibleby eq equalto even false float ge greaterthan gt in integer iterable le lessthan lower lt mapping ne number odd " +
		"sameas sequence string true undefined upper")

	filterNames, testNames []string // for hints
)

// ownFilters are the filters in which gonja differs, or which it has not.
var ownFilters = map[string]func(b *budget, v any, p *exec.VarArgs) any{
	"b64encode": func(b *budget, v any, _ *exec.VarArgs) any {
		return base64.StdEncoding.EncodeToString([]byte(b.text(v)))
	},
	"b64decode": func(b *budget, v any, _ *exec.VarArgs) any {
		out, err := base64.StdEncoding.DecodeString(b.text(v))
		if err != nil {
			b.fail("b64decode: %v", err)
		}
		return string(out)
	},
	"format": func(b *budget, v any, p *exec.VarArgs) any {
		if len(p.KwArgs) > 0 {
			return b.percent(b.text(v), globals["dict"].apply(b, p))
		}
		return b.percent(b.text(v), tuple(b.collect(p.Args)))
	},
	"items": func(b *budget, v any, _ *exec.VarArgs) any {
		items, _ := b.own(v, "items", exec.NewVarArgs())
		return items
	},
	"random": func(b *budget, _ any, _ *exec.VarArgs) any {
		b.fail("random is not there: the same instance renders the same text each time")
		return nil
	},
	"reverse": func(b *budget, v any, _ *exec.VarArgs) any {
		items := slices.Clone(b.items(v))
		slices.Reverse(items)
		if _, ok := v.(string); ok {
			return strings.Join(b.texts(items), "")
		}
		return items
	},
	"tojson": func(b *budget, v any, p *exec.VarArgs) any {
		indent := p.GetKeywordArgument("indent", 0)
		if len(p.Args) > 0 {
			indent = p.Args[0]
		}
		return b.json(v, indent.Integer())
	},
}

// environment is what templates may use.
func environment() *exec.Environment {
	filters := map[string]exec.FilterFunction{}
	for _, names := range []map[string]bool{textFilters, listFilters, restFilters} {
		for name := range names {
			f, _ := builtins.Filters.Get(name)
			filters[name] = guarded(name, func(e *exec.Evaluator, in *exec.Value, p *exec.VarArgs) *exec.Value {
				in, p = budgetOf(e.Environment).given(name, in, p)
				return f(e, in, p)
			})
		}
	}
	for name, f := range ownFilters {
		filters[name] = guarded(name, func(e *exec.Evaluator, in *exec.Value, p *exec.VarArgs) *exec.Value {
			return exec.ToValue(f(budgetOf(e.Environment), in.Interface(), p))
		})
	}
	tests := map[string]exec.TestFunction{}
	for name := range gonjaTests {
		f, _ := builtins.Tests.Get(name)
		test := f.(func(*exec.Context, *exec.Value, *exec.VarArgs) (bool, error))
		tests[name] = exec.TestFunction(func(e *exec.Evaluator, in *exec.Value, p *exec.VarArgs) (bool, error) {
			if in.IsError() && name != "defined" && name != "undefined" {
				return false, in
			}
			budgetOf(e.Environment).admit(name, in, p)
			return test(e.Environment.Context, in, p)
		})
	}
	tests["none"] = exec.TestFunction(func(_ *exec.Evaluator, in *exec.Value, _ *exec.VarArgs) (bool, error) {
		return in.Interface() == none(false), nil
	})
	tests["boolean"] = exec.TestFunction(func(_ *exec.Evaluator, in *exec.Value, _ *exec.VarArgs) (bool, error) {
		return kindOf(in.Interface()) == "bool", nil
	})
	filterNames, testNames = slices.Sorted(maps.Keys(filters)), slices.Sorted(maps.Keys(tests))
	return &exec.Environment{
		Context: exec.EmptyContext(), Filters: exec.NewFilterSet(filters), Tests: exec.NewTestSet(tests),
		ControlStructures: exec.NewControlStructureSet(nil), Methods: builtins.Methods,
	}
}

// guarded is a filter within the budget.
func guarded(name string, f exec.FilterFunction) exec.FilterFunction {
	return func(e *exec.Evaluator, in *exec.Value, p *exec.VarArgs) *exec.Value {
		b := budgetOf(e.Environment)
		if !in.IsError() {
			b.admit(name, in, p)
		} else if name != "default" && name != "d" {
			return in
		}
		defer b.enter()()
		out := f(e, in, p)
		items, _ := sequence(out.Interface())
		for _, x := range append([]any{out.Interface()}, items...) {
			if err, ok := x.(error); ok && !b.caused(err) {
				panic(explain(err, b.line))
			} else if ok {
				return exec.AsValue(err)
			}
		}
		b.spend(b.size(out))
		return out
	}
}

// given is what a filter of gonja's takes: text as Python has it, lists of characters and of keys.
func (b *budget) given(name string, in *exec.Value, p *exec.VarArgs) (*exec.Value, *exec.VarArgs) {
	v := in.Interface()
	d, isDict := mapping(v)
	switch {
	case textFilters[name]:
		args := slices.Clone(p.Args)
		for i, a := range args {
			if !a.IsNumber() && !a.IsBool() {
				args[i] = exec.AsValue(b.text(a.Interface()))
			}
		}
		return exec.AsValue(b.text(v)), &exec.VarArgs{Args: args, KwArgs: p.KwArgs}
	case name == "join" && p.KwArgs["attribute"] == nil:
		return exec.AsValue(b.texts(b.items(v))), p
	case listFilters[name]:
		return exec.AsValue(b.items(v)), p
	case (name == "default" || name == "d") && len(p.Args) == 0:
		return in, &exec.VarArgs{Args: []*exec.Value{exec.AsValue("")}, KwArgs: p.KwArgs}
	case name == "dictsort" || isDict && len(d.Pairs) == 0:
		m := map[string]any{}
		for _, x := range d.Pairs {
			m[b.text(x.Key.Interface())] = x.Value.Interface()
		}
		return exec.AsValue(m), p
	}
	return in, p
}
