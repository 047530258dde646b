package tree

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// json parses JSON. YAML's parser could too, but is slower and would let YAML through.
func (b *builder) json(data []byte) (*Node, error) {
	r := &jsonReader{b: b, data: data, dec: json.NewDecoder(bytes.NewReader(data)), line: 1}
	r.dec.UseNumber()
	root, err := r.value(0)
	if err == nil {
		at := r.next()
		if _, err := r.dec.Token(); err != io.EOF {
			return nil, b.wrong(at, "the document has ended before this")
		}
		return root, nil
	}
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		r.seek(max(int(syntax.Offset)-1, r.offset))
		return nil, b.wrong(r.here(), "%s", syntax.Error())
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		r.seek(len(data))
		if strings.TrimSpace(string(data)) == "" {
			return nil, b.wrong(Place{File: b.src}, "the file is empty")
		}
		return nil, b.wrong(r.here(), "the file ends in the middle of a value")
	}
	return nil, err
}

// A jsonReader turns tokens into nodes and byte offsets into places.
type jsonReader struct {
	b      *builder
	data   []byte
	dec    *json.Decoder
	offset int // where line and start were counted
	line   int
	column int // characters before offset in the line
}

func (r *jsonReader) seek(offset int) {
	for i := r.offset; i < offset; i++ {
		switch c := r.data[i]; {
		case c == '\n':
			r.line++
			r.column = 0
		case utf8.RuneStart(c):
			r.column++
		}
	}
	r.offset = max(r.offset, offset)
}

func (r *jsonReader) here() Place {
	return Place{r.b.src, r.line, r.column + 1}
}

// next returns the place of the next token.
func (r *jsonReader) next() Place {
	i := int(r.dec.InputOffset())
	for i < len(r.data) && strings.IndexByte(" \t\r\n:,", r.data[i]) >= 0 {
		i++
	}
	r.seek(i)
	return r.here()
}

func (r *jsonReader) value(depth int) (*Node, error) {
	at := r.next()
	t, err := r.dec.Token()
	if err != nil {
		return nil, err
	}
	switch v := t.(type) {
	case nil:
		return r.b.scalar(Null, "null", at)
	case bool:
		if v {
			return r.b.scalar(Boolean, "true", at)
		}
		return r.b.scalar(Boolean, "false", at)
	case string:
		return r.b.scalar(Text, v, at)
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			return r.b.scalar(Float, v.String(), at)
		}
		return r.b.scalar(Integer, v.String(), at)
	}
	if depth == MaxDepth {
		return nil, r.b.tooDeep(at)
	}
	if t == json.Delim('[') {
		return r.list(at, depth)
	}
	return r.object(at, depth)
}

func (r *jsonReader) list(at Place, depth int) (*Node, error) {
	n := &Node{Kind: List, At: at}
	for r.dec.More() {
		item, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		n.Items = append(n.Items, item)
	}
	if _, err := r.dec.Token(); err != nil {
		return nil, err
	}
	return r.b.add(n)
}

func (r *jsonReader) object(at Place, depth int) (*Node, error) {
	n := &Node{Kind: Mapping, At: at}
	own := map[string]Place{}
	for r.dec.More() {
		where := r.next()
		t, err := r.dec.Token()
		if err != nil {
			return nil, err
		}
		key, _ := t.(string) // the decoder lets nothing else pass
		if first, twice := own[key]; twice {
			return nil, r.b.wrong(where, "the key %q stands here a second time; it is in line %d already", key, first.Line)
		}
		own[key] = where
		value, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		n.Entries = append(n.Entries, Entry{key, where, value})
	}
	if _, err := r.dec.Token(); err != nil {
		return nil, err
	}
	return r.b.add(n)
}
