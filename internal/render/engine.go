package render

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strings"
	"sync"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/loaders"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/parser"
)

// parse reads a template and guards it.
func parse(text string, strict bool) (*exec.Template, error) {
	c := config.New()
	c.KeepTrailingNewline = true
	c.StrictUndefined = strict
	if err := bounded(text, c); err != nil {
		return nil, err
	}
	t, err := exec.NewTemplate(entry, c, &closed{text: text}, environment())
	if err != nil {
		return nil, err
	}
	guard(t.Root())
	return t, nil
}

// A closed loader knows one template, once: nothing that the template says leads to another.
type closed struct {
	text string
	read bool
}

const entry = "template"

// Read returns the template the first time.
func (l *closed) Read(path string) (io.Reader, error) {
	if l.read || path != entry {
		return nil, errors.New("templates cannot read files")
	}
	l.read = true
	return strings.NewReader(l.text), nil
}

// Resolve refuses.
func (l *closed) Resolve(string) (string, error) {
	return "", errors.New("templates cannot read files")
}

// Inherit refuses.
func (l *closed) Inherit(string) (loaders.Loader, error) {
	return nil, errors.New("templates cannot read files")
}

// environment is what templates may use.
var environment = sync.OnceValue(func() *exec.Environment {
	statements := exec.NewControlStructureSet(map[string]parser.ControlStructureParser{}).Update(builtins.ControlStructures)
	for _, s := range []string{"include", "import", "from", "extends", "block"} {
		must(statements.Replace(s, refuse(s)))
	}
	filters := exec.NewFilterSet(map[string]exec.FilterFunction{}).Update(builtins.Filters)
	must(filters.Replace("random", func(*exec.Evaluator, *exec.Value, *exec.VarArgs) *exec.Value {
		return exec.AsValue(errors.New("random is not there: the same instance renders the same text each time"))
	}))
	must(filters.Replace("tojson", toJSON))
	must(filters.Replace("format", format))
	must(filters.Register(chargeKey, func(e *exec.Evaluator, in *exec.Value, _ *exec.VarArgs) *exec.Value {
		if in.IsError() {
			return in // for default, and for the message
		}
		return orError(in, budgetOf(e.Environment).spend(sizeOf(in)))
	}))
	must(filters.Register(guardKey, func(e *exec.Evaluator, in *exec.Value, params *exec.VarArgs) *exec.Value {
		if in.IsError() {
			return in
		}
		return orError(in, check(budgetOf(e.Environment), in, params))
	}))
	values := exec.EmptyContext().Update(builtins.GlobalFunctions).Update(builtins.GlobalVariables)
	values.Set("lipsum", nil)
	values.Set("gonja", nil)
	values.Set("range", between)
	values.Set(operateKey, operate)
	values.Set(callKey, last)
	values.Set(outputKey, output)
	values.Set(guardKey, func(e *exec.Evaluator, params *exec.VarArgs) (*exec.Value, error) {
		in := params.First()
		return in, check(budgetOf(e.Environment), in, &exec.VarArgs{Args: params.Args[1:], KwArgs: params.KwArgs})
	})
	methods := builtins.Methods
	methods.Str = strMethods()
	methods.List = listMethods()
	return &exec.Environment{
		Context: values, Filters: filters, Tests: builtins.Tests, ControlStructures: statements, Methods: methods,
	}
})

func must(err error) {
	if err != nil {
		panic(err) // the engine lacks something that this version is known to have
	}
}

func refuse(statement string) parser.ControlStructureParser {
	return func(p, args *parser.Parser) (nodes.ControlStructure, error) {
		return nil, args.Error(statement+" is not there: templates cannot read other templates or files", p.Current())
	}
}

func orError(v *exec.Value, err error) *exec.Value {
	if err != nil {
		return exec.AsValue(err)
	}
	return v
}

// last returns the last of its arguments: the result of a call. The one before it is a check.
func last(e *exec.Evaluator, params *exec.VarArgs) (*exec.Value, error) {
	v := params.Args[len(params.Args)-1]
	return v, budgetOf(e.Environment).spend(sizeOf(v))
}

// output returns what is printed.
func output(e *exec.Evaluator, params *exec.VarArgs) (*exec.Value, error) {
	v := params.First()
	return v, budgetOf(e.Environment).spend(sizeOf(v))
}

// between is range, as a list of limited length.
func between(_ *exec.Evaluator, params *exec.VarArgs) (*exec.Value, error) {
	bounds := [3]int{0, 0, 1}
	for i, a := range params.Args {
		if i == 3 || !a.IsInteger() {
			return nil, errors.New("range takes one to three whole numbers: [start,] stop [, step]")
		}
		bounds[i] = a.Integer()
	}
	switch len(params.Args) {
	case 0:
		return nil, errors.New("range takes one to three whole numbers: [start,] stop [, step]")
	case 1:
		bounds[0], bounds[1] = 0, bounds[0]
	}
	start, stop, step := bounds[0], bounds[1], bounds[2]
	if step == 0 {
		return nil, errors.New("the step of a range is 0")
	}
	count := math.Ceil((float64(stop) - float64(start)) / float64(step))
	if count > 100_000 {
		return nil, fmt.Errorf("the range has %.0f numbers; 100000 is the most", count)
	}
	out := []int{}
	for i := range int(max(count, 0)) {
		out = append(out, start+i*step)
	}
	return exec.AsValue(out), nil
}

// operate is an operator whose result may be large.
func operate(e *exec.Evaluator, params *exec.VarArgs) (*exec.Value, error) {
	op, left, right := params.Args[0].String(), params.Args[1], params.Args[2]
	b := budgetOf(e.Environment)
	cost := sizeOf(left) + sizeOf(right)
	if op == "*" && left.IsString() {
		if n := right.Integer(); n > 0 {
			cost = int(min(float64(n)*float64(len(left.String())), MaxOutput))
		}
	}
	if err := b.spend(cost); err != nil {
		return nil, err
	}
	float := left.IsFloat() || right.IsFloat()
	switch op {
	case "~":
		return exec.AsValue(left.String() + right.String()), nil
	case "**":
		return exec.AsValue(math.Pow(left.Float(), right.Float())), nil
	case "%":
		if left.IsString() {
			return nil, errors.New("% does not format text here: use ~ to join, or the filter format")
		}
		if right.Integer() == 0 {
			return nil, errors.New("division by zero")
		}
		return exec.AsValue(left.Integer() % right.Integer()), nil
	case "*":
		switch {
		case float:
			return exec.AsValue(left.Float() * right.Float()), nil
		case left.IsString():
			return exec.AsValue(strings.Repeat(left.String(), max(right.Integer(), 0))), nil
		}
		return exec.AsValue(left.Integer() * right.Integer()), nil
	case "+":
		switch {
		case left.IsList() != right.IsList():
			return nil, errors.New("+ joins a list with a list only")
		case left.IsList():
			var out []any
			for _, v := range []*exec.Value{left, right} {
				v.Iterate(func(_, _ int, item, _ *exec.Value) bool {
					out = append(out, item.Interface())
					return true
				}, func() {})
			}
			return exec.AsValue(out), nil
		case float:
			return exec.AsValue(left.Float() + right.Float()), nil
		case left.IsString() || right.IsString():
			return exec.AsValue(left.String() + right.String()), nil
		}
		return exec.AsValue(left.Integer() + right.Integer()), nil
	}
	return nil, fmt.Errorf("the operator %s is not there", op)
}

// format is the filter of that name, for values of any kind.
func format(_ *exec.Evaluator, in *exec.Value, params *exec.VarArgs) *exec.Value {
	if in.IsError() {
		return in
	}
	if strings.Count(in.String(), "%") > 1000 {
		return exec.AsValue(errors.New("the format has more than 1000 places"))
	}
	args := make([]any, len(params.Args))
	for i, a := range params.Args {
		args[i] = a.ToGoSimpleType(false)
	}
	return exec.AsValue(fmt.Sprintf(in.String(), args...))
}

// toJSON is Jinja's tojson: with a space behind : and , and the characters that HTML minds escaped.
func toJSON(_ *exec.Evaluator, in *exec.Value, params *exec.VarArgs) *exec.Value {
	if in.IsError() {
		return in
	}
	indent := params.GetKeywordArgument("indent", nil)
	if len(params.Args) > 0 {
		indent = params.Args[0]
	}
	simple := in.ToGoSimpleType(false)
	if err, ok := simple.(error); ok {
		return exec.AsValue(err)
	}
	var out []byte
	var err error
	if indent.IsNil() {
		out, err = json.Marshal(simple)
		out = spaced(out)
	} else {
		out, err = json.MarshalIndent(simple, "", strings.Repeat(" ", max(indent.Integer(), 0)))
	}
	if err != nil {
		return exec.AsValue(err)
	}
	return exec.AsSafeValue(strings.ReplaceAll(string(out), "'", `\u0027`))
}

// spaced adds a space behind the commas and colons that are outside of text.
func spaced(text []byte) []byte {
	out := make([]byte, 0, len(text)+len(text)/8)
	quoted := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		out = append(out, c)
		switch {
		case quoted && c == '\\':
			i++
			out = append(out, text[i])
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ',' || c == ':'):
			out = append(out, ' ')
		}
	}
	return out
}

// strMethods are the methods of text, with a replace that may go without a count.
func strMethods() *exec.MethodSet[string] {
	all := map[string]exec.Method[string]{}
	names := reflect.ValueOf(builtins.Methods.Str).Elem().FieldByName("methods").MapKeys()
	for _, n := range names {
		all[n.String()], _ = builtins.Methods.Str.Get(n.String())
	}
	all["replace"] = func(self string, _ *exec.Value, params *exec.VarArgs) (any, error) {
		if len(params.Args) < 2 || len(params.Args) > 3 || len(params.KwArgs) > 0 && len(params.Args) == 3 {
			return nil, errors.New("replace takes the old text, the new one and, if need be, a count")
		}
		count := params.GetKeywordArgument("count", -1)
		if len(params.Args) == 3 {
			count = params.Args[2]
		}
		return strings.Replace(self, params.Args[0].String(), params.Args[1].String(), count.Integer()), nil
	}
	return exec.NewMethodSet(all)
}

// listMethods are the methods of lists without reverse, which changes a list in its place: lists of peers
// are shared.
func listMethods() *exec.MethodSet[[]any] {
	all := map[string]exec.Method[[]any]{
		"reverse": func([]any, *exec.Value, *exec.VarArgs) (any, error) {
			return nil, errors.New("reverse is not there as a method: use the filter")
		},
	}
	for _, n := range []string{"append", "copy"} {
		all[n], _ = builtins.Methods.List.Get(n)
	}
	return exec.NewMethodSet(all)
}
