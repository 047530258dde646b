package native

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A level is a place in a document where the key "include" has its meaning; elsewhere it is a key like
// any other (of an environment, say).
type level struct {
	includes bool
	below    map[string]*level // by key
	each     *level            // of every key
}

var (
	levelMachine         = &level{includes: true}
	levelRole            = &level{includes: true, below: map[string]*level{"machine": levelMachine}}
	levelService         = &level{includes: true, below: map[string]*level{"roles": {each: levelRole}}}
	levelMachineDocument = &level{below: map[string]*level{"machine": levelMachine}}
)

// resolve returns n with its includes merged beneath it. It returns nil after noting a mistake.
func (d *decoder) resolve(n *node, l *level, nest int) *node {
	if n.kind != mapping {
		return n
	}
	out := *n
	out.entries = slices.Clone(n.entries)
	for i, e := range out.entries {
		next := l.each
		if next == nil {
			next = l.below[e.key]
		}
		if next == nil {
			continue
		}
		var value *node
		d.in(e.key, "", e.value, func() { value = d.resolve(e.value, next, nest) })
		if value == nil {
			return nil
		}
		out.entries[i].value = value
	}
	if !l.includes || out.get("include") == nil {
		return &out
	}
	result := &out
	for _, path := range slices.Backward(d.includePaths(out.get("include"))) {
		fragment := d.fragment(path, l, nest)
		if fragment == nil {
			return nil
		}
		result = d.beneath(result, fragment)
	}
	return result
}

func (d *decoder) includePaths(n *node) []*node {
	if n.kind == list {
		return n.items
	}
	return []*node{n}
}

// fragment reads an included file and resolves its own includes.
func (d *decoder) fragment(path *node, l *level, nest int) *node {
	var out *node
	d.in("include", "", path, func() {
		if nest == maxNest {
			d.fail(path.at, "includes are nested too deep; %d levels is the most", maxNest)
			return
		}
		data, ok := d.open(path)
		if !ok {
			return
		}
		tree := d.tree(path.text, data)
		if tree == nil {
			return
		}
		if tree.kind != mapping {
			d.fail(tree.at, "expected keys and values, found %s", tree.kind)
			return
		}
		out = d.resolve(tree, l, nest+1)
	})
	return out
}

// beneath merges the entries of low under those of high: maps are merged key by key, of anything else
// the one in high stays.
func (d *decoder) beneath(high, low *node) *node {
	out := *high
	out.entries = slices.Clone(high.entries)
	at := make(map[string]int, len(out.entries))
	for i, e := range out.entries {
		at[e.key] = i
	}
	for _, e := range low.entries {
		i, there := at[e.key]
		switch {
		case !there:
			out.entries = append(out.entries, e)
		case out.entries[i].value.kind == null:
			out.entries[i].value = e.value
		case out.entries[i].value.kind == mapping && e.value.kind == mapping:
			out.entries[i].value = d.beneath(out.entries[i].value, e.value)
		}
	}
	return &out
}

// open reads a file that the node names.
func (d *decoder) open(n *node) ([]byte, bool) {
	switch path := n.text; {
	case n.kind != text || path == "":
		d.fail(n.at, "expected the path of a file, found %s", n.kind)
	case d.opts.Open == nil:
		d.fail(n.at, "other files cannot be read here: send one document with everything in it")
	case strings.HasPrefix(path, "/"):
		d.fail(n.at, "%q is an absolute path: only files beside the document, or in folders below it, are read", path)
	case !filepath.IsLocal(filepath.FromSlash(path)) || strings.ContainsAny(path, "\\\x00"):
		d.fail(n.at, "%q leads out of the document's folder", path)
	case d.files >= maxFiles:
		d.fail(n.at, "the document reads more than %d files", maxFiles)
	default:
		data, err := d.opts.Open(path)
		if err != nil {
			d.fail(n.at, "%v", err)
			return nil, false
		}
		return data, true
	}
	return nil, false
}

// Dir returns a function for Options.Open that reads the files of a folder. Links that lead out of the
// folder are refused, and so is what is no regular file or larger than MaxBytes.
func Dir(folder string) func(path string) ([]byte, error) {
	return func(path string) ([]byte, error) {
		root, err := os.OpenRoot(folder)
		if err != nil {
			return nil, fmt.Errorf("open the folder of the document: %w", err)
		}
		defer root.Close()
		// A pipe must be refused before it is opened: opening it would wait for a writer.
		info, err := root.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("no file %q beside the document", path)
		} else if err != nil {
			return nil, fmt.Errorf("%q cannot be read: %w", path, err)
		}
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%q is no regular file", path)
		}
		file, err := root.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		data, err := io.ReadAll(io.LimitReader(file, MaxBytes+1))
		if err != nil {
			return nil, err
		}
		if len(data) > MaxBytes {
			return nil, fmt.Errorf("%q has more than %d bytes", path, MaxBytes)
		}
		return data, nil
	}
}
