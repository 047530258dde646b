package cloudinit

import (
	"errors"
	"fmt"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"

	"github.com/troupe-dev/troupe/internal/format/tree"
)

const maxTokens = 500_000 // of YAML

// A SyntaxError says where a text is no YAML.
type SyntaxError struct {
	Line int // from 1; 0 when not known
	Text string
}

func (e *SyntaxError) Error() string {
	if e.Line == 0 {
		return e.Text
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Text)
}

// ParseYAML reads a #cloud-config: mappings with texts as keys, lists, texts, numbers, booleans, nil. The error is of
// type *SyntaxError. What is too large or too deep is one, too: the parser recurses.
func ParseYAML(text []byte) (v any, err error) {
	defer func() {
		if p := recover(); p != nil { // the parser's answer to some texts that are no YAML
			v, err = nil, &SyntaxError{Text: "this cannot be read"}
		}
	}()
	if err := bounded(lexer.Tokenize(string(text))); err != nil {
		return nil, err
	}
	if err := yaml.Unmarshal(text, &v); err != nil {
		var bad yaml.Error
		if errors.As(err, &bad) && bad.GetToken() != nil && bad.GetToken().Position != nil {
			return nil, &SyntaxError{bad.GetToken().Position.Line, bad.GetMessage()}
		}
		return nil, &SyntaxError{Text: firstLine(err)}
	}
	return v, nil
}

func bounded(tokens token.Tokens) error {
	if len(tokens) > maxTokens {
		return &SyntaxError{Text: fmt.Sprintf("it holds more than %d words and signs", maxTokens)}
	}
	if at, why := tree.Unreadable(tokens); at != nil {
		return &SyntaxError{at.Position.Line, why}
	}
	return nil
}
