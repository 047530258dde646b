package tree

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// A builder makes the tree of one file.
type builder struct {
	src     *File
	anchors map[string]*Node
	limit   int
	budget  int // nodes that it may still make
	tags    func(string) bool
	slab    []Node // room for the next nodes
}

// room returns room for a node: many at a time are cheaper to make, and to look after.
func (b *builder) room() *Node {
	if len(b.slab) == 0 {
		b.slab = make([]Node, 64)
	}
	n := &b.slab[0]
	b.slab = b.slab[1:]
	return n
}

func (b *builder) wrong(at Place, format string, args ...any) error {
	return &Mistake{at, fmt.Sprintf(format, args...)}
}

// yaml parses YAML. The parser is kept from input that it would recurse or search too long in.
func (b *builder) yaml(data []byte) (root *Node, err error) {
	defer func() {
		if p := recover(); p != nil {
			root, err = nil, b.wrong(Place{File: b.src}, "this is no YAML that can be read")
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
			return nil, b.wrong(b.place(e.GetToken()), "%s", inWords(e.GetMessage()))
		}
		return nil, err
	}
	var documents []*ast.DocumentNode
	for _, doc := range file.Docs {
		if doc.Body != nil && doc.Body.Type() != ast.CommentType && doc.Body.Type() != ast.DirectiveType {
			documents = append(documents, doc)
		}
	}
	switch len(documents) {
	case 0:
		return nil, b.wrong(Place{File: b.src}, "the file is empty")
	case 1:
		return b.node(documents[0].Body)
	}
	start := documents[1].Start
	if start == nil {
		start = documents[1].Body.GetToken()
	}
	return nil, b.wrong(b.place(start), "a file holds one document; a second one begins here")
}

// bounded refuses what is too large or too deep for a recursive parser.
func (b *builder) bounded(tokens token.Tokens) error {
	if len(tokens) > b.limit {
		return b.wrong(b.place(tokens[b.limit]), "the document holds too many values; %d is the most", b.limit)
	}
	if at, why := Unreadable(tokens); at != nil {
		return b.wrong(b.place(at), "%s", why)
	}
	return nil
}

// Unreadable finds the first token at which a text is no YAML, or too deep for the parser, which recurses, and says why;
// nil for none.
func Unreadable(tokens token.Tokens) (at *token.Token, why string) {
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
			return t, inWords(cmp.Or(t.Error, "this is no YAML"))
		}
		if flow > MaxDepth || dashes > MaxDepth {
			return t, tooDeep
		}
	}
	return nil, ""
}

// inWords puts what the library says of a tab, which shows as nothing, into words.
func inWords(message string) string {
	if strings.Contains(message, "found character '\t'") {
		return "a tab stands here: YAML is indented with blanks"
	}
	return message
}

var tooDeep = fmt.Sprintf("lists and maps are nested too deep; %d levels is the most", MaxDepth)

func (b *builder) tooDeep(at Place) error { return b.wrong(at, "%s", tooDeep) }

func (b *builder) place(t *token.Token) Place {
	if t == nil || t.Position == nil {
		return Place{File: b.src}
	}
	return Place{b.src, t.Position.Line, t.Position.Column}
}

// node converts a value.
func (b *builder) node(n ast.Node) (*Node, error) {
	if n == nil {
		return b.scalar(Null, "", Place{File: b.src})
	}
	at := b.place(n.GetToken())
	switch n := n.(type) {
	case *ast.NullNode:
		return b.scalar(Null, n.Token.Value, at)
	case *ast.BoolNode:
		return b.scalar(Boolean, n.Token.Value, at)
	case *ast.IntegerNode:
		return b.scalar(Integer, n.Token.Value, at)
	case *ast.FloatNode:
		return b.scalar(Float, n.Token.Value, at)
	case *ast.InfinityNode:
		return b.scalar(Float, n.Token.Value, at)
	case *ast.NanNode:
		return b.scalar(Float, n.Token.Value, at)
	case *ast.StringNode:
		if n.Token.Type == token.StringType && exponent.MatchString(n.Value) {
			return b.scalar(Float, n.Value, at) // which the library takes for text
		}
		return b.scalar(Text, n.Value, at)
	case *ast.LiteralNode:
		return b.scalar(Text, n.Value.Value, at)
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
		items := make([]*Node, len(n.Values))
		for i, v := range n.Values {
			item, err := b.node(v)
			if err != nil {
				return nil, err
			}
			items[i] = item
		}
		return b.add(&Node{Kind: List, Items: items, At: at})
	case *ast.MappingNode:
		return b.mapping(n.Values, at)
	case *ast.MappingValueNode:
		return b.mapping([]*ast.MappingValueNode{n}, at)
	}
	return nil, b.wrong(at, "%s cannot stand here", n.Type())
}

var exponent = regexp.MustCompile(`^[-+]?[0-9]+[eE][-+]?[0-9]+$`)

func (b *builder) scalar(k Kind, s string, at Place) (*Node, error) {
	n := b.room()
	n.Kind, n.Text, n.At = k, s, at
	return b.add(n)
}

// add counts a node and what is below it.
func (b *builder) add(n *Node) (*Node, error) {
	n.size, n.height = 1, 1
	below := func(c *Node) {
		n.size += c.size
		n.height = max(n.height, c.height+1)
	}
	for _, c := range n.Items {
		below(c)
	}
	for _, e := range n.Entries {
		below(e.Value)
	}
	if n.height > MaxDepth {
		return nil, b.tooDeep(n.At)
	}
	// Sizes count what aliases repeat, so that a few lines cannot become millions of values.
	if n.size > b.budget {
		return nil, b.wrong(n.At, "the document holds too many values; %d is the most, with those that aliases repeat", b.limit)
	}
	return n, nil
}

func (b *builder) alias(n *ast.AliasNode, at Place) (*Node, error) {
	name := n.Value.GetToken().Value
	target, ok := b.anchors[name]
	if !ok {
		return nil, b.wrong(at, "no anchor &%s stands before this alias", name)
	}
	return target, nil
}

// tagged reads YAML's own tags, which change nothing but the reading of a scalar, and keeps those that
// the format knows.
func (b *builder) tagged(n *ast.TagNode, at Place) (*Node, error) {
	value, err := b.node(n.Value)
	if err != nil {
		return nil, err
	}
	switch tag := n.Start.Value; tag {
	case "!!str":
		if value.Kind.Scalar() {
			return b.scalar(Text, value.Text, value.At)
		}
	case "!!int", "!!float", "!!bool", "!!null", "!!seq", "!!map":
		return value, nil
	default:
		if b.tags != nil && b.tags(tag) {
			kept := *value
			kept.Tag, kept.At = tag, at
			return &kept, nil
		}
	}
	return nil, b.wrong(at, "the tag %s has no meaning here", n.Start.Value)
}

func (b *builder) mapping(values []*ast.MappingValueNode, at Place) (*Node, error) {
	n := &Node{Kind: Mapping, At: at}
	own := make(map[string]Place, len(values))
	var merged []*Node
	for i, v := range values {
		key := b.place(v.Key.GetToken())
		if i == 0 && key.Line > 0 {
			n.At = key
		}
		value, err := b.node(v.Value)
		if err != nil {
			return nil, err
		}
		if value.Kind == Null && value.At.Line == 0 {
			value.At = key
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
		case name.Kind >= List:
			return nil, b.wrong(key, "a key must be a plain word")
		}
		if first, twice := own[name.Text]; twice {
			return nil, b.wrong(key, "the key %q stands here a second time; it is in line %d already", name.Text, first.Line)
		}
		own[name.Text] = key
		n.Entries = append(n.Entries, Entry{name.Text, key, value})
	}
	for _, m := range merged {
		if err := b.merge(n, m, own); err != nil {
			return nil, err
		}
	}
	return b.add(n)
}

// merge adds the entries of a merge key: what is there already wins.
func (b *builder) merge(n, from *Node, own map[string]Place) error {
	switch from.Kind {
	case Mapping:
		for _, e := range from.Entries {
			if _, there := own[e.Key]; !there {
				own[e.Key] = e.At
				n.Entries = append(n.Entries, e)
			}
		}
		return nil
	case List:
		for _, item := range from.Items {
			if item.Kind != Mapping {
				return b.wrong(item.At, "<< merges keys and values, not %s", item.Kind)
			}
			if err := b.merge(n, item, own); err != nil {
				return err
			}
		}
		return nil
	}
	return b.wrong(from.At, "<< merges keys and values, not %s", from.Kind)
}
