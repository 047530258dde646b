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

	"github.com/troupe-dev/troupe/internal/format/tree"
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
func (d *decoder) resolve(n *tree.Node, l *level, nest int) *tree.Node {
	if n.Kind != tree.Mapping {
		return n
	}
	out := *n
	out.Entries = slices.Clone(n.Entries)
	for i, e := range out.Entries {
		next := l.each
		if next == nil {
			next = l.below[e.Key]
		}
		if next == nil {
			continue
		}
		var value *tree.Node
		d.in(e.Key, "", e.Value, func() { value = d.resolve(e.Value, next, nest) })
		if value == nil {
			return nil
		}
		out.Entries[i].Value = value
	}
	if !l.includes || out.Get("include") == nil {
		return &out
	}
	result := &out
	for _, path := range slices.Backward(d.includePaths(out.Get("include"))) {
		fragment := d.fragment(path, l, nest)
		if fragment == nil {
			return nil
		}
		result = d.beneath(result, fragment)
	}
	return result
}

func (d *decoder) includePaths(n *tree.Node) []*tree.Node {
	if n.Kind == tree.List {
		return n.Items
	}
	return []*tree.Node{n}
}

// fragment reads an included file and resolves its own includes.
func (d *decoder) fragment(path *tree.Node, l *level, nest int) *tree.Node {
	var out *tree.Node
	d.in("include", "", path, func() {
		if nest == maxNest {
			d.fail(path.At, "includes are nested too deep; %d levels is the most", maxNest)
			return
		}
		data, ok := d.open(path)
		if !ok {
			return
		}
		root, ok := d.tree(path.Text, data)
		if !ok {
			return
		}
		if root.Kind != tree.Mapping {
			d.fail(root.At, "expected keys and values, found %s", root.Kind)
			return
		}
		out = d.resolve(root, l, nest+1)
	})
	return out
}

// beneath merges the entries of low under those of high: maps are merged key by key, of anything else
// the one in high stays.
func (d *decoder) beneath(high, low *tree.Node) *tree.Node {
	out := *high
	out.Entries = slices.Clone(high.Entries)
	at := make(map[string]int, len(out.Entries))
	for i, e := range out.Entries {
		at[e.Key] = i
	}
	for _, e := range low.Entries {
		i, there := at[e.Key]
		switch {
		case !there:
			out.Entries = append(out.Entries, e)
		case out.Entries[i].Value.Kind == tree.Null:
			out.Entries[i].Value = e.Value
		case out.Entries[i].Value.Kind == tree.Mapping && e.Value.Kind == tree.Mapping:
			out.Entries[i].Value = d.beneath(out.Entries[i].Value, e.Value)
		}
	}
	return &out
}

// open reads a file that the node names.
func (d *decoder) open(n *tree.Node) ([]byte, bool) {
	switch path := n.Text; {
	case n.Kind != tree.Text || path == "":
		d.fail(n.At, "expected the path of a file, found %s", n.Kind)
	case d.opts.Open == nil:
		d.fail(n.At, "other files cannot be read here: send one document with everything in it")
	case strings.HasPrefix(path, "/"):
		d.fail(n.At, "%q is an absolute path: only files beside the document, or in folders below it, are read", path)
	case !filepath.IsLocal(filepath.FromSlash(path)) || strings.ContainsAny(path, "\\\x00"):
		d.fail(n.At, "%q leads out of the document's folder", path)
	case d.files.Files() >= maxFiles:
		d.fail(n.At, "the document reads more than %d files", maxFiles)
	default:
		data, err := d.opts.Open(path)
		if err != nil {
			d.fail(n.At, "%v", err)
			return nil, false
		}
		return data, true
	}
	return nil, false
}

// Dir returns a function for Options.Open that reads the files of a folder. Links that lead out of the
// folder are refused, and so is what is no regular file or larger than tree.MaxBytes.
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
		data, err := io.ReadAll(io.LimitReader(file, tree.MaxBytes+1))
		if err != nil {
			return nil, err
		}
		if len(data) > tree.MaxBytes {
			return nil, fmt.Errorf("%q has more than %d bytes", path, tree.MaxBytes)
		}
		return data, nil
	}
}
