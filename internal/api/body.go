package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"
)

// ReadBody returns the whole body of a request; an empty one is nil. Its errors are Problems: 413
// above 8 MiB, 408 when the client was too slow, 400 when it broke off.
func ReadBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	switch {
	case err != nil:
		return nil, BodyError(err)
	case len(body) == 0:
		return nil, nil
	}
	return body, nil
}

// BodyError returns the Problem that an error of reading a body is.
func BodyError(err error) error {
	var tooLarge *http.MaxBytesError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &tooLarge):
		return &Problem{Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("the body is larger than %d MiB", tooLarge.Limit>>20), cause: err}
	case errors.As(err, &timeout) && timeout.Timeout():
		return &Problem{Status: http.StatusRequestTimeout, Detail: "the body did not arrive in time", cause: err}
	}
	return &Problem{Status: http.StatusBadRequest, Detail: "the body ended early", cause: err}
}

// LimitBody lets a route read more of the body than others may, or less. It is called before anything is read.
func LimitBody(r *http.Request, bytes int64) {
	if req := requestOf(r.Context()); req != nil && req.body != nil && req.body != http.NoBody {
		r.Body = http.MaxBytesReader(req.writer, req.body, bytes)
	}
}

// DecodeJSON reads the body of a request, whatever its Content-Type, as one JSON value into v. Its
// errors are Problems that name the place.
func DecodeJSON(r *http.Request, v any) error {
	body, err := ReadBody(r)
	if err != nil {
		return err
	}
	if body == nil {
		return &Problem{Status: http.StatusBadRequest, Detail: "the request has no body; send JSON"}
	}
	return UnmarshalJSON(body, v)
}

// UnmarshalJSON decodes one JSON value, at most 64 levels deep and followed by nothing, into v. Its
// errors are Problems with status 400 that name the place, as "roles[1].cardinality" or by line and
// column.
func UnmarshalJSON(data []byte, v any) error {
	if !utf8.Valid(data) {
		return badJSON(data, invalidUTF8(data), "broken UTF-8")
	}
	if at := tooDeep(data); at >= 0 {
		return badJSON(data, at, fmt.Sprintf("nested deeper than %d levels", maxDepth))
	}
	err := json.Unmarshal(data, v)
	var syntax *json.SyntaxError
	var mismatch *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &syntax):
		message := strings.TrimPrefix(err.Error(), "json: ")
		if strings.Contains(message, "after top-level value") {
			message = "more text after the end of the JSON value"
		}
		return badJSON(data, int(syntax.Offset)-1, message)
	case errors.As(err, &mismatch):
		article := "a"
		if strings.IndexByte("aeiou", mismatch.Value[0]) >= 0 {
			article = "an"
		}
		message := fmt.Sprintf("%s %s cannot be used here; give %s", article, mismatch.Value, kindName(mismatch.Type.Kind().String()))
		return badPlace(placeAt(data, int(mismatch.Offset)-1), message, err)
	}
	return badPlace("", err.Error(), err)
}

func badJSON(data []byte, offset int, message string) error {
	offset = min(max(offset, 0), len(data))
	line := 1 + bytes.Count(data[:offset], []byte("\n"))
	column := 1 + utf8.RuneCount(data[bytes.LastIndexByte(data[:offset], '\n')+1:offset])
	return badPlace("", fmt.Sprintf("line %d, column %d: %s", line, column, message), nil)
}

func badPlace(place, message string, cause error) error {
	location, detail := "body", "invalid JSON: "+message
	if place != "" {
		location, detail = "body."+place, place+": "+message
	}
	return &Problem{Status: http.StatusBadRequest, Detail: detail, Errors: []FieldError{{location, message}}, cause: cause}
}

func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(data)
}

// tooDeep returns the offset of the first bracket beyond the allowed depth, or -1.
func tooDeep(data []byte) int {
	depth, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return i
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return -1
}

// placeAt returns the path to the value at the offset of a valid JSON text, as "roles[1].name", or
// "" for the text as a whole.
func placeAt(data []byte, offset int) string {
	type level struct {
		index int // of an array; -1 in an object
		key   string
	}
	var stack []level
	for i := 0; i < len(data) && i <= offset; i++ {
		top := len(stack) - 1
		switch data[i] {
		case '{', '[':
			// The bracket itself belongs to the value that it opens.
			if i == offset {
				break
			}
			l := level{index: -1}
			if data[i] == '[' {
				l.index = 0
			}
			stack = append(stack, l)
		case '}', ']':
			stack = stack[:max(top, 0)]
		case ',':
			if top >= 0 && stack[top].index >= 0 {
				stack[top].index++
			}
		case '"':
			end := i + 1
			for end < len(data) && data[end] != '"' {
				if data[end] == '\\' {
					end++
				}
				end++
			}
			if top >= 0 && stack[top].index < 0 && nextByte(data, end+1) == ':' {
				json.Unmarshal(data[i:min(end+1, len(data))], &stack[top].key)
			}
			i = end
		}
	}
	var b strings.Builder
	for i, l := range stack {
		switch {
		case l.index >= 0:
			fmt.Fprintf(&b, "[%d]", l.index)
		case i > 0:
			b.WriteString("." + l.key)
		default:
			b.WriteString(l.key)
		}
	}
	return b.String()
}

func nextByte(data []byte, from int) byte {
	for i := from; i < len(data); i++ {
		switch data[i] {
		case ' ', '\t', '\n', '\r':
		default:
			return data[i]
		}
	}
	return 0
}

// kindName words a Go kind for somebody who writes JSON.
func kindName(kind string) string {
	switch {
	case strings.HasPrefix(kind, "int"):
		return "an integer"
	case strings.HasPrefix(kind, "uint"):
		return "an integer of 0 or more"
	case strings.HasPrefix(kind, "float"):
		return "a number"
	}
	switch kind {
	case "bool":
		return "true or false"
	case "string":
		return "a string"
	case "slice", "array":
		return "an array"
	}
	return "an object"
}
