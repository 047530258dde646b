package native

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// A node is a value of a document. Nodes are never changed once made: aliases share them.
type node struct {
	kind    kind
	text    string // of a scalar: its value as written, without quotes
	entries []entry
	items   []*node
	at      place
	size    int // nodes below and including this one
	height  int // levels below and including this one
}

type entry struct {
	key   string
	at    place
	value *node
}

// A kind is what a node is.
type kind uint8

const (
	null kind = iota
	boolean
	integer
	float
	text
	list
	mapping
)

func (k kind) String() string {
	return [...]string{"nothing", "a boolean", "a whole number", "a number", "text", "a list", "keys and values"}[k]
}

// get returns the value of a key; nil when it is absent or null.
func (n *node) get(key string) *node {
	for i := range n.entries {
		if n.entries[i].key == key && n.entries[i].value.kind != null {
			return n.entries[i].value
		}
	}
	return nil
}

// tree reads a file. It returns nil after noting a mistake.
func (d *decoder) tree(name string, data []byte) *node {
	src := &source{name: name, order: d.files}
	d.files++
	d.bytes += len(data)
	start := place{file: src}
	switch bad := invalidUTF8(data); {
	case len(data) > MaxBytes:
		d.fail(start, "the file has %d bytes; %d is the most", len(data), MaxBytes)
		return nil
	case d.bytes > MaxTotal:
		d.fail(start, "the document and what it includes have more than %d bytes", MaxTotal)
		return nil
	case bad >= 0:
		before := data[:bad]
		at := place{src, bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1}
		d.fail(at, "the text is not UTF-8")
		return nil
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	b := &builder{src: src, anchors: map[string]*node{}, budget: maxNodes - d.nodes}
	var root *node
	var err error
	if isJSON(name, data) {
		root, err = b.json(data)
	} else {
		root, err = b.yaml(data)
	}
	if err != nil {
		var m *mistake
		if !errors.As(err, &m) {
			m = &mistake{start, err.Error()}
		}
		d.fail(m.at, "%s", m.text)
		return nil
	}
	d.nodes += root.size
	return root
}

func invalidUTF8(data []byte) int {
	if utf8.Valid(data) {
		return -1
	}
	for i := 0; ; {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n <= 1 {
			return i
		}
		i += n
	}
}

// A mistake ends the building of a tree.
type mistake struct {
	at   place
	text string
}

func (m *mistake) Error() string { return m.text }

// A builder makes the tree of one file.
type builder struct {
	src     *source
	anchors map[string]*node
	budget  int // nodes that it may still make
}

func (b *builder) wrong(at place, format string, args ...any) error {
	return &mistake{at, fmt.Sprintf(format, args...)}
}

// yaml parses YAML. The parser is kept from input that it would recurse or search too long in.
func (b *builder) yaml(data []byte) (root *node, err error) {
	defer func() {
		if p := recover(); p != nil {
			root, err = nil, b.wrong(place{file: b.src}, "this is no YAML that can be read")
		}
	}()
	tokens := lexer.Tokenize(string(data))
	if err := b.bounded(tokens); err != nil {
		return nil, err
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var e yaml.Error
		if errors.As(err, &e) && e.GetToken() != nil {
			return nil, b.wrong(b.place(e.GetToken()), "%s", e.GetMessage())
		}
		return nil, err
	}
	var bodies []ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil && doc.Body.Type() != ast.CommentType && doc.Body.Type() != ast.DirectiveType {
			bodies = append(bodies, doc.Body)
		}
	}
	switch len(bodies) {
	case 0:
		return nil, b.wrong(place{file: b.src}, "the file is empty")
	case 1:
		return b.node(bodies[0])
	}
	return nil, b.wrong(b.place(bodies[1].GetToken()), "a file holds one document; a second one begins here")
}

// bounded refuses what is too large or too deep for a recursive parser.
func (b *builder) bounded(tokens token.Tokens) error {
	if len(tokens) > maxNodes {
		return b.wrong(b.place(tokens[maxNodes]), "the document holds too many values; %d is the most", maxNodes)
	}
	flow, line, dashes := 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != line {
			line, dashes = t.Position.Line, 0
		}
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType, token.AnchorType, token.TagType, token.MappingValueType:
			dashes++
		case token.CollectEntryType:
			dashes = 0
		case token.InvalidType:
			return b.wrong(b.place(t), "%s", firstOf(t.Error, "this is no YAML"))
		}
		if flow > maxDepth || dashes > maxDepth {
			return b.tooDeep(b.place(t))
		}
	}
	return nil
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func (b *builder) tooDeep(at place) error {
	return b.wrong(at, "lists and maps are nested too deep; %d levels is the most", maxDepth)
}

func (b *builder) place(t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{file: b.src}
	}
	return place{b.src, t.Position.Line, t.Position.Column}
}

// node converts a value.
func (b *builder) node(n ast.Node) (*node, error) {
	if n == nil {
		return b.scalar(null, "", place{file: b.src})
	}
	at := b.place(n.GetToken())
	switch n := n.(type) {
	case *ast.NullNode:
		return b.scalar(null, n.Token.Value, at)
	case *ast.BoolNode:
		return b.scalar(boolean, n.Token.Value, at)
	case *ast.IntegerNode:
		return b.scalar(integer, n.Token.Value, at)
	case *ast.FloatNode:
		return b.scalar(float, n.Token.Value, at)
	case *ast.InfinityNode:
		return b.scalar(float, n.Token.Value, at)
	case *ast.NanNode:
		return b.scalar(float, n.Token.Value, at)
	case *ast.StringNode:
		return b.scalar(text, n.Value, at)
	case *ast.LiteralNode:
		return b.scalar(text, n.Value.Value, at)
	case *ast.AnchorNode:
		value, err := b.node(n.Value)
		if err == nil {
			b.anchors[n.Name.GetToken().Value] = value
		}
		return value, err
	case *ast.AliasNode:
		return b.alias(n, at)
	case *ast.TagNode:
		return b.tagged(n, at)
	case *ast.SequenceNode:
		items := make([]*node, len(n.Values))
		for i, v := range n.Values {
			item, err := b.node(v)
			if err != nil {
				return nil, err
			}
			items[i] = item
		}
		return b.add(&node{kind: list, items: items, at: at})
	case *ast.MappingNode:
		return b.mapping(n.Values, at)
	case *ast.MappingValueNode:
		return b.mapping([]*ast.MappingValueNode{n}, at)
	}
	return nil, b.wrong(at, "%s cannot stand here", n.Type())
}

func (b *builder) scalar(k kind, s string, at place) (*node, error) {
	return b.add(&node{kind: k, text: s, at: at})
}

// add counts a node and what is below it.
func (b *builder) add(n *node) (*node, error) {
	n.size, n.height = 1, 1
	below := func(c *node) {
		n.size += c.size
		n.height = max(n.height, c.height+1)
	}
	for _, c := range n.items {
		below(c)
	}
	for _, e := range n.entries {
		below(e.value)
	}
	if n.height > maxDepth {
		return nil, b.tooDeep(n.at)
	}
	// Sizes count what aliases repeat, so that a few lines cannot become millions of values.
	if n.size > b.budget {
		return nil, b.wrong(n.at, "the document holds too many values; %d is the most, with those that aliases repeat", maxNodes)
	}
	return n, nil
}

func (b *builder) alias(n *ast.AliasNode, at place) (*node, error) {
	name := n.Value.GetToken().Value
	target, ok := b.anchors[name]
	if !ok {
		return nil, b.wrong(at, "no anchor &%s stands before this alias", name)
	}
	return target, nil
}

// tagged reads the few tags that change nothing but the reading of a scalar.
func (b *builder) tagged(n *ast.TagNode, at place) (*node, error) {
	value, err := b.node(n.Value)
	if err != nil {
		return nil, err
	}
	switch n.Start.Value {
	case "!!str":
		if value.kind < list {
			return b.scalar(text, value.text, value.at)
		}
	case "!!int", "!!float", "!!bool", "!!null", "!!seq", "!!map":
		return value, nil
	}
	return nil, b.wrong(at, "the tag %s has no meaning here", n.Start.Value)
}

func (b *builder) mapping(values []*ast.MappingValueNode, at place) (*node, error) {
	n := &node{kind: mapping, at: at}
	own := make(map[string]place, len(values))
	var merged []*node
	for i, v := range values {
		key := b.place(v.Key.GetToken())
		if i == 0 && key.line > 0 {
			n.at = key
		}
		value, err := b.node(v.Value)
		if err != nil {
			return nil, err
		}
		if value.kind == null && value.at.line == 0 {
			value.at = key
		}
		if v.Key.IsMergeKey() {
			merged = append(merged, value)
			continue
		}
		name, err := b.node(v.Key.(ast.Node))
		if mk, ok := v.Key.(*ast.MappingKeyNode); ok {
			name, err = b.node(mk.Value)
		}
		switch {
		case err != nil:
			return nil, err
		case name.kind >= list:
			return nil, b.wrong(key, "a key must be a plain word")
		}
		if first, twice := own[name.text]; twice {
			return nil, b.wrong(key, "the key %q stands here a second time; it is in line %d already", name.text, first.line)
		}
		own[name.text] = key
		n.entries = append(n.entries, entry{name.text, key, value})
	}
	for _, m := range merged {
		if err := b.merge(n, m, own); err != nil {
			return nil, err
		}
	}
	return b.add(n)
}

// merge adds the entries of a merge key: what is there already wins.
func (b *builder) merge(n, from *node, own map[string]place) error {
	switch from.kind {
	case mapping:
		for _, e := range from.entries {
			if _, there := own[e.key]; !there {
				own[e.key] = e.at
				n.entries = append(n.entries, e)
			}
		}
		return nil
	case list:
		for _, item := range from.items {
			if item.kind != mapping {
				return b.wrong(item.at, "<< merges keys and values, not %s", item.kind)
			}
			if err := b.merge(n, item, own); err != nil {
				return err
			}
		}
		return nil
	}
	return b.wrong(from.at, "<< merges keys and values, not %s", from.kind)
}
