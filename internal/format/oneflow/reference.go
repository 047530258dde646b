package oneflow

import (
	"errors"
	"regexp"
	"strings"
)

// A Reference is what ${role.PATH.TO.ATTRIBUTE} in the contents of a role asks for: the value of an
// attribute of the first machine of a parent role that has it.
type Reference struct {
	Role string
	Path string // upper case, dotted: "TEMPLATE.CONTEXT.ETH1_IP"
}

var (
	reference = regexp.MustCompile(`\$\{([A-Za-z0-9_]+)\.([A-Za-z0-9_.]+)\}`)
	variable  = regexp.MustCompile(`\$[A-Za-z_][A-Za-z0-9_]*`)
)

// References returns the references in a text, in order.
func References(text string) []Reference {
	var found []Reference
	for _, m := range reference.FindAllStringSubmatch(text, -1) {
		found = append(found, Reference{Role: m[1], Path: strings.ToUpper(m[2])})
	}
	return found
}

const (
	maxExpanded   = 256 << 10 // bytes of one value
	maxExpansions = 4         // variables whose values hold variables
)

var errExpanded = errors.New("the value grows too long when its variables are filled in")

// Expand puts values in the place of $NAME, as whole words; names without a value stay as they are.
// Values may hold variables themselves. A text that is a $ and a name is that variable, whatever characters
// the name has.
func Expand(text string, value func(name string) (string, bool)) (string, error) {
	for range maxExpansions {
		if !strings.Contains(text, "$") {
			break
		}
		if v, ok := value(strings.TrimPrefix(text, "$")); ok && text[0] == '$' {
			text = v
			continue
		}
		var b strings.Builder
		last := 0
		for _, at := range variable.FindAllStringIndex(text, -1) {
			v, ok := value(text[at[0]+1 : at[1]])
			if !ok {
				continue
			}
			b.WriteString(text[last:at[0]])
			b.WriteString(v)
			last = at[1]
			if b.Len() > maxExpanded {
				return "", errExpanded
			}
		}
		if last == 0 {
			break
		}
		b.WriteString(text[last:])
		text = b.String()
	}
	return text, nil
}
