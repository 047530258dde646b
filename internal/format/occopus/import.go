package occopus

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/troupe-dev/troupe/internal/format/tree"
)

// The tags that stand for the content of a file.
const (
	tagYAML = "!yaml_import"
	tagText = "!text_import"
)

// imported reads what a tag stands for.
func (d *decoder) imported(n *tree.Node) (*tree.Node, error) {
	wrong := func(at tree.Place, format string, args ...any) (*tree.Node, error) {
		return nil, &tree.Mistake{At: at, Text: fmt.Sprintf(format, args...)}
	}
	if n.Tag != tagYAML && n.Tag != tagText {
		bare := *n
		bare.Tag = ""
		return d.files.Replace(&bare, d.imported)
	}
	var url *tree.Node
	for _, e := range n.Entries {
		if e.Key != "url" {
			return wrong(e.At, "%s knows no key %q, only url", n.Tag, e.Key)
		}
		url = e.Value
	}
	if url == nil || url.Kind != tree.Text || url.Text == "" {
		return wrong(n.At, "%s needs the file: write {url: file://name.yaml}", n.Tag)
	}
	scheme, name, ok := strings.Cut(url.Text, "://")
	switch {
	case !ok:
		name = url.Text
	case scheme != "file":
		return wrong(url.At, "only file:// is read here, not %s://", scheme)
	}
	switch {
	case name == "" || strings.ContainsRune(name, 0):
		return wrong(url.At, "%q names no file", url.Text)
	case d.opts.Open == nil:
		return wrong(url.At, "other files cannot be read here: send one document with everything in it")
	case d.files.Files() >= maxFiles:
		return wrong(url.At, "the document reads more than %d files", maxFiles)
	case d.nest == maxNest:
		return wrong(url.At, "imports are nested too deep; %d levels is the most", maxNest)
	}
	if !path.IsAbs(name) {
		name = path.Join(path.Dir(n.At.File.Name), name)
	}
	data, err := d.opts.Open(name)
	if err != nil {
		return wrong(url.At, "import %s: %v", name, err)
	}
	if n.Tag == tagText {
		switch {
		case len(data) > tree.MaxBytes || !d.files.Take(len(data)):
			return wrong(url.At, "%s is too large", name)
		case tree.InvalidUTF8(data) >= 0:
			return wrong(url.At, "%s is not UTF-8 text", name)
		}
		return &tree.Node{Kind: tree.Text, Text: strings.ReplaceAll(string(data), "\r\n", "\n"), At: n.At}, nil
	}
	root, err := d.files.Read(name, data)
	if err != nil {
		return nil, err
	}
	d.nest++
	defer func() { d.nest-- }()
	return d.files.Replace(root, d.imported)
}

// Files returns a function for Options.Open that knows the given files alone, by path.
func Files(files map[string][]byte) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		if data, ok := files[name]; ok {
			return data, nil
		}
		return nil, fmt.Errorf("the file %q was not sent along", name)
	}
}

// FromDisk reads a file for Options.Open: a regular one of no more than tree.MaxBytes, relative to the working
// folder. It is for commands that a user runs, not for servers.
func FromDisk(name string) ([]byte, error) {
	// A pipe must be refused before it is opened: opening it would wait for a writer.
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no file %s", name)
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no regular file", name)
	case info.Size() > tree.MaxBytes:
		return nil, fmt.Errorf("%s has more than %d bytes", name, tree.MaxBytes)
	}
	return os.ReadFile(name)
}
