// Package tree reads YAML and JSON into values that know their places, and writes YAML.
//
// YAML is read as YAML 1.2 with these rules: a key may not come twice; anchors, aliases and merge keys
// work within limits; no, off and yes are text, never booleans; a file holds one document. A scalar
// keeps its text as written, so that a format can take 1.10 or 0640 for what it wants.
package tree

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of what a Reader reads.
const (
	MaxBytes = 8 << 20  // of one file
	MaxTotal = 16 << 20 // of all files
	MaxDepth = 64       // lists and maps within each other
	MaxNodes = 250_000  // values, those that aliases repeat counted each time
)

// A Node is a value of a document. Nodes are never changed once made: aliases share them.
type Node struct {
	Kind    Kind
	Text    string // of a scalar: its value as written, without quotes
	Tag     string // one that Reader.Tags accepts, such as "!include"; "" for none
	Entries []Entry
	Items   []*Node
	At      Place

	size   int // nodes below and including this one
	height int // levels below and including this one
}

// An Entry is a key of a mapping with its value.
type Entry struct {
	Key   string
	At    Place
	Value *Node
}

// A Kind is what a node is.
type Kind uint8

// The kinds.
const (
	Null Kind = iota
	Boolean
	Integer
	Float
	Text
	List
	Mapping
)

// String returns the kind as it is called in messages.
func (k Kind) String() string {
	return [...]string{"nothing", "a boolean", "a whole number", "a number", "text", "a list", "keys and values"}[k]
}

// Scalar reports whether a node of this kind is neither a list nor a mapping.
func (k Kind) Scalar() bool { return k < List }

// Get returns the value of a key; nil when it is absent or null.
func (n *Node) Get(key string) *Node {
	for i := range n.Entries {
		if n.Entries[i].Key == key && n.Entries[i].Value.Kind != Null {
			return n.Entries[i].Value
		}
	}
	return nil
}

// Found describes a node for a message.
func (n *Node) Found() string {
	switch n.Kind {
	case Null, List, Mapping:
		return n.Kind.String()
	}
	s := n.Text
	if len(s) > 60 {
		s = strings.ToValidUTF8(s[:60], "") + "…"
	}
	return strconv.Quote(s)
}

// Any converts a node to what encoding/json would make of it, with ints as int. Numbers have the value
// that YAML 1.2 gives them: 0755 is 755, 0o755 is 493. One that is too large for an int is text.
func (n *Node) Any() any {
	switch n.Kind {
	case Null:
		return nil
	case Boolean:
		return n.True()
	case Integer:
		if i, ok := n.Int(); ok {
			return i
		}
	case Float:
		if f, err := strconv.ParseFloat(n.Text, 64); err == nil && !math.IsInf(f, 0) && !math.IsNaN(f) {
			return f
		}
	case List:
		out := make([]any, len(n.Items))
		for i, item := range n.Items {
			out[i] = item.Any()
		}
		return out
	case Mapping:
		out := make(map[string]any, len(n.Entries))
		for _, e := range n.Entries {
			out[e.Key] = e.Value.Any()
		}
		return out
	}
	return n.Text
}

// True returns the value of a boolean.
func (n *Node) True() bool { return strings.EqualFold(n.Text, "true") }

// Int returns the value of a whole number; false when n is none, or too large.
func (n *Node) Int() (int, bool) {
	if n.Kind != Integer {
		return 0, false
	}
	if i, err := strconv.Atoi(n.Text); err == nil {
		return i, true
	}
	text, base := strings.ReplaceAll(n.Text, "_", ""), 10
	sign := ""
	if text != "" && strings.ContainsRune("+-", rune(text[0])) {
		sign, text = text[:1], text[1:]
	}
	for prefix, b := range map[string]int{"0x": 16, "0o": 8, "0b": 2} {
		if rest, ok := strings.CutPrefix(strings.ToLower(text), prefix); ok {
			text, base = rest, b
		}
	}
	i, ok := new(big.Int).SetString(strings.TrimPrefix(sign, "+")+text, base)
	if !ok || !i.IsInt64() {
		return 0, false
	}
	return int(i.Int64()), true
}

// A Place is where a node stands in a file. Line and column count from 1; 0 stands for the file as a whole.
type Place struct {
	File         *File
	Line, Column int
}

// A File is one that was read.
type File struct {
	Name  string
	Order int // the first that was read has 0
}

// A Mistake is why a file could not be read.
type Mistake struct {
	At   Place
	Text string
}

func (m *Mistake) Error() string {
	if m.At.Line == 0 {
		return m.At.File.Name + ": " + m.Text
	}
	return fmt.Sprintf("%s:%d:%d: %s", m.At.File.Name, m.At.Line, m.At.Column, m.Text)
}

// A Reader reads the files of one document, within limits that hold for all of them together. Its zero
// value has the limits above and knows no tags.
type Reader struct {
	Nodes int                   // limit of values; 0 means MaxNodes
	Tags  func(tag string) bool // the tags that nodes may have beside YAML's own

	files int
	bytes int
	nodes int
}

// Files returns how many files were read.
func (r *Reader) Files() int { return r.files }

// Take counts a file of so many bytes and reports whether the document may have it.
func (r *Reader) Take(bytes int) bool {
	r.files++
	r.bytes += bytes
	return r.bytes <= MaxTotal
}

func (r *Reader) limit() int {
	if r.Nodes == 0 {
		return MaxNodes
	}
	return r.Nodes
}

// Read makes the tree of a file. The error, if any, is a *Mistake.
func (r *Reader) Read(name string, data []byte) (*Node, error) {
	file := &File{Name: name, Order: r.files}
	fits := r.Take(len(data))
	start := Place{File: file}
	switch bad := InvalidUTF8(data); {
	case len(data) > MaxBytes:
		return nil, &Mistake{start, fmt.Sprintf("the file has %d bytes; %d is the most", len(data), MaxBytes)}
	case !fits:
		return nil, &Mistake{start, fmt.Sprintf("the document and what it includes have more than %d bytes", MaxTotal)}
	case bad >= 0:
		before := data[:bad]
		at := Place{file, bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1}
		return nil, &Mistake{at, "the text is not UTF-8"}
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	limit := r.limit()
	b := &builder{src: file, anchors: map[string]*Node{}, limit: limit, budget: limit - r.nodes, tags: r.Tags}
	var root *Node
	var err error
	if isJSON(name, data) {
		root, err = b.json(data)
	} else {
		root, err = b.yaml(data)
	}
	if err != nil {
		var m *Mistake
		if !errors.As(err, &m) {
			m = &Mistake{start, err.Error()}
		}
		return nil, m
	}
	r.nodes += root.size
	return root, nil
}

// isJSON reports whether the data is to be read as JSON: it says so itself, or its name does.
func isJSON(name string, data []byte) bool {
	if strings.HasSuffix(strings.ToLower(name), ".json") {
		return true
	}
	return len(data) > 0 && data[0] == '{' && json.Valid(data)
}

// Replace returns the tree with each node that has a tag replaced by what f makes of it. Nodes without tags
// in or below them stay the same nodes, and what aliases share stays shared. The error is f's, or a *Mistake
// when the result is too large.
func (r *Reader) Replace(root *Node, f func(*Node) (*Node, error)) (*Node, error) {
	s := &replacer{f: f, done: map[*Node]*Node{}, b: builder{limit: r.limit(), budget: r.limit()}}
	return s.node(root)
}

type replacer struct {
	f    func(*Node) (*Node, error)
	done map[*Node]*Node
	b    builder
}

func (s *replacer) node(n *Node) (*Node, error) {
	if n.Tag == "" && n.Kind.Scalar() {
		return n, nil
	}
	if made, ok := s.done[n]; ok {
		return made, nil
	}
	made, err := s.make(n)
	if err != nil {
		return nil, err
	}
	s.done[n] = made
	return made, nil
}

func (s *replacer) make(n *Node) (*Node, error) {
	if n.Tag != "" {
		return s.f(n)
	}
	out, changed := *n, false
	out.Items, out.Entries = slices.Clone(n.Items), slices.Clone(n.Entries)
	replace := func(at **Node) error {
		made, err := s.node(*at)
		changed = changed || made != *at
		*at = made
		return err
	}
	for i := range out.Items {
		if err := replace(&out.Items[i]); err != nil {
			return nil, err
		}
	}
	for i := range out.Entries {
		if err := replace(&out.Entries[i].Value); err != nil {
			return nil, err
		}
	}
	if !changed {
		return n, nil
	}
	return s.b.add(&out)
}

// InvalidUTF8 returns where the text stops being UTF-8, or -1.
func InvalidUTF8(data []byte) int {
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
