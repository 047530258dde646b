package oneflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of a body.
const (
	MaxBody  = 8 << 20 // bytes
	MaxDepth = 64      // arrays and objects inside each other
)

// Parse reads a body: a JSON object in which // and /* */ comments may stand. Unknown keys stay, in
// order; of a repeated key the last value counts. It checks the syntax only. The error is an *Error.
func Parse(data []byte) (*Body, error) {
	value, source, err := parseJSON(data)
	if err != nil {
		return nil, err
	}
	root, ok := value.(*Object)
	if !ok {
		return nil, &Error{Kind: Invalid, Message: "the body must be a JSON object", Line: 1, Column: 1}
	}
	return &Body{root: root, source: source}, nil
}

// ParseJSON reads any JSON value by the rules of Parse: an *Object, []any, string, json.Number,
// bool or nil.
func ParseJSON(data []byte) (any, error) {
	value, _, err := parseJSON(data)
	return value, err
}

func parseJSON(data []byte) (any, []byte, error) {
	if len(data) > MaxBody {
		return nil, nil, &Error{Message: fmt.Sprintf("the body is longer than %d bytes", MaxBody)}
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return nil, nil, malformed(data, i, "the text is not UTF-8")
		}
		i += size
	}
	source, err := blankComments(data)
	if err != nil {
		return nil, nil, err
	}
	// The whole-document check gives exact positions; the token reader below then cannot fail but
	// by depth.
	var whole json.RawMessage
	if err := json.Unmarshal(source, &whole); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			at := int(syntax.Offset) - 1
			if strings.HasPrefix(syntax.Error(), "unexpected end") {
				at = len(source)
			}
			return nil, nil, malformed(source, max(0, at), "not JSON: "+syntax.Error())
		}
		return nil, nil, malformed(source, 0, "not JSON: "+err.Error())
	}
	dec := json.NewDecoder(bytes.NewReader(source))
	dec.UseNumber()
	value, err := readValue(dec, 0)
	if err != nil {
		return nil, nil, malformed(source, int(dec.InputOffset())-1, err.Error())
	}
	return value, source, nil
}

func readValue(dec *json.Decoder, depth int) (any, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return token, nil
	}
	if depth >= MaxDepth {
		return nil, fmt.Errorf("nested more than %d deep", MaxDepth)
	}
	if delim == '[' {
		list := []any{}
		for dec.More() {
			v, err := readValue(dec, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = dec.Token()
		return list, err
	}
	o := new(Object)
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		v, err := readValue(dec, depth+1)
		if err != nil {
			return nil, err
		}
		o.Set(key.(string), v)
	}
	_, err = dec.Token()
	return o, err
}

// blankComments puts a space in the place of each character of a comment, so that lines and columns
// stay.
func blankComments(data []byte) ([]byte, error) {
	out := make([]byte, 0, len(data))
	quoted := false
	for i := 0; i < len(data); {
		end := i
		switch {
		case quoted && data[i] == '\\' && i+1 < len(data):
			out = append(out, data[i], data[i+1])
			i += 2
			continue
		case data[i] == '"':
			quoted = !quoted
		case quoted:
		case bytes.HasPrefix(data[i:], []byte("//")):
			if end = bytes.IndexByte(data[i:], '\n'); end < 0 {
				end = len(data)
			} else {
				end += i
			}
		case bytes.HasPrefix(data[i:], []byte("/*")):
			if end = bytes.Index(data[i+2:], []byte("*/")); end < 0 {
				return nil, malformed(data, i, "the comment does not end")
			}
			end += i + 4
		}
		if end == i {
			out = append(out, data[i])
			i++
			continue
		}
		for ; i < end; i++ {
			switch {
			case data[i] == '\n':
				out = append(out, '\n')
			case utf8.RuneStart(data[i]):
				out = append(out, ' ')
			}
		}
	}
	return out, nil
}

func malformed(source []byte, at int, message string) error {
	line, column := position(source, at)
	return &Error{Kind: Malformed, Message: message, Line: line, Column: column}
}

// position returns the line and column of an offset.
func position(source []byte, at int) (line, column int) {
	before := source[:min(max(at, 0), len(source))]
	return 1 + bytes.Count(before, []byte{'\n'}), 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
}
