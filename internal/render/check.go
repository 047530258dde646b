package render

import (
	"fmt"
	"maps"
	"slices"

	"github.com/troupe-dev/troupe/internal/service"
)

// Check parses a template without running it. name stands for it in the error, which is of type *Error.
func Check(name, text string) error {
	if plain(text) {
		return nil
	}
	if len(text) > MaxTemplate {
		return tooLong(name, text)
	}
	if _, err := cached(text); err != nil {
		return named(name, err)
	}
	return nil
}

func tooLong(name, text string) *Error {
	return &Error{Name: name, Text: fmt.Sprintf("the template has %d bytes; %d is the most", len(text), MaxTemplate)}
}

// CheckMachine parses the templates of a machine, which stands at a place of a specification such as
// "roles[0].machine." ("" for one that stands alone). The error, if any, is of type service.Problems,
// with the place of each template that does not parse.
func CheckMachine(at string, m *service.Machine) error {
	var found service.Problems
	note := func(place, text string) {
		if len(found) == service.MaxProblems {
			return
		}
		if err, bad := Check(place, text).(*Error); bad {
			problem := &service.Problem{Path: place, Text: err.Text}
			if err.Line > 0 {
				problem.Text = fmt.Sprintf("line %d: %s", err.Line, err.Text)
			}
			found = append(found, problem)
		}
	}
	eachTemplate(at, m, note)
	if len(found) == 0 {
		return nil
	}
	return found
}

// eachTemplate calls f for each text of a machine and of its implementations that may be a template, with its place.
func eachTemplate(at string, m *service.Machine, f func(place, text string)) {
	eachContent(at, m.Env, m.Files, m.UserData, m.Checks, f)
	for i := range m.Implementations {
		x := &m.Implementations[i]
		place := fmt.Sprintf("%simplementations[%d].", at, i)
		eachContent(place, x.Env, x.Files, x.UserData, x.Checks, f)
		eachText(place+"options", x.Options, f)
		eachText(place+"rendered", map[string]any(x.Rendered), f)
	}
}

func eachContent(at string, env map[string]string, files []service.File, userData string, checks []service.Check, f func(place, text string)) {
	for _, key := range slices.Sorted(maps.Keys(env)) {
		f(at+"env."+key, env[key])
	}
	for i := range files {
		f(fmt.Sprintf("%sfiles[%d].content", at, i), files[i].Content)
	}
	f(at+"user_data", userData)
	for i := range checks {
		c, place := &checks[i], fmt.Sprintf("%schecks[%d].", at, i)
		f(place+"tcp", c.TCP)
		f(place+"http", c.HTTP)
		for j, arg := range c.Exec {
			f(fmt.Sprintf("%sexec[%d]", place, j), arg)
		}
		if c.MySQL != nil {
			c.MySQL.EachText(func(name string, text *string) { f(place+"mysql."+name, *text) })
		}
	}
}

// CheckSpec parses the templates of all roles of a specification, as [CheckMachine] does.
func CheckSpec(s *service.Spec) error {
	var found service.Problems
	for i := range s.Roles {
		problems, _ := service.AsProblems(CheckMachine(fmt.Sprintf("roles[%d].machine.", i), &s.Roles[i].Machine))
		if found = append(found, problems...); len(found) >= service.MaxProblems {
			return found[:service.MaxProblems]
		}
	}
	if found = append(found, checkShared(s)...); len(found) > service.MaxProblems {
		found = found[:service.MaxProblems]
	}
	if len(found) == 0 {
		return nil
	}
	return found
}
