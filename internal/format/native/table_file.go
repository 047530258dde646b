package native

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/service"
)

func envField[T any](at func(*T) *map[string]string) field[T] {
	return wordsField("env", "{DB: \"{{ roles.db[0].address }}\"}", "The environment of the main program. Values are templates.", at)
}

func filesField[T any](at func(*T) *[]service.File) field[T] {
	return field[T]{
		key: "files", shape: mapShape("file"), example: "{etc/app.conf: {from: app.conf.j2, mode: \"0640\"}}",
		help: "Files by path, relative to the machine's root or working folder: the content, or a map. Contents are templates.",
		read: func(d *decoder, n *tree.Node, t *T) { readFiles(d, n, at(t)) },
		write: func(t *T) any {
			files := *at(t)
			if len(files) == 0 {
				return nil
			}
			out := make(yaml.MapSlice, len(files))
			for i, f := range files {
				out[i] = yaml.MapItem{Key: f.Path, Value: f.Content}
				if f.Mode != 0 {
					out[i].Value = write(fileFields, &files[i])
				}
			}
			return out
		},
	}
}

func userDataField[T any](at func(*T) *string) field[T] {
	return field[T]{
		key: "user_data", shape: contentShape, example: "{from: cloud-init.yaml.j2}",
		help:  "Cloud-init's text, as far as the driver's machines carry it out, a template: the text, or {from: FILE}.",
		read:  func(d *decoder, n *tree.Node, t *T) { readContent(d, n, at(t)) },
		write: func(t *T) any { return unlessZero(*at(t)) },
	}
}

// fileFields are the keys of a file.
var fileFields = []field[service.File]{
	{
		key: "content", shape: textShape, example: "\"port = 80\"", help: "The content, a template.",
		read: func(d *decoder, n *tree.Node, f *service.File) {
			if s, ok := d.text(n); ok {
				f.Content = s
			}
		},
		write: func(f *service.File) any { return f.Content },
	},
	{
		key: "from", spec: "content", shape: textShape, example: "app.conf.j2", help: "A file beside the document, or below, that holds the content, in place of content.",
		read: func(d *decoder, n *tree.Node, f *service.File) {
			if data, ok := d.openText(n); ok {
				f.Content = data
			}
		},
	},
	{
		key: "mode", shape: modeShape, def: "0644", example: "\"0640\"", help: "The permission bits, octal.",
		read: func(d *decoder, n *tree.Node, f *service.File) {
			s := strings.TrimPrefix(n.Text, "0o")
			mode, err := strconv.ParseUint(s, 8, 32)
			if err != nil || n.Kind != tree.Integer && n.Kind != tree.Text || mode > 0o7777 {
				d.fail(n.At, "%s is no file mode: write one such as 0640", n.Found())
				return
			}
			f.Mode = uint32(mode)
		},
		write: func(f *service.File) any {
			if f.Mode == 0 {
				return nil
			}
			return fmt.Sprintf("%04o", f.Mode)
		},
	},
}

func readFiles(d *decoder, n *tree.Node, files *[]service.File) {
	if n.Kind != tree.Mapping {
		d.fail(n.At, "expected files by path, found %s", n.Kind)
		return
	}
	at := make(map[string]int, len(*files))
	for i, f := range *files {
		at[f.Path] = i
	}
	for _, e := range n.Entries {
		i, there := at[e.Key]
		if !there {
			i = len(*files)
			*files = append(*files, service.File{})
		}
		f := service.File{Path: e.Key}
		d.in(e.Key, fmt.Sprintf("[%d]", i), e.Value, func() {
			d.mark(d.spec+".path", &tree.Node{At: e.At})
			if e.Value.Kind == tree.Mapping {
				read(d, fileFields, e.Value, &f)
				if e.Value.Get("from") != nil && e.Value.Get("content") != nil {
					d.fail(e.At, "has content and from; one of them is enough")
				}
			} else if s, ok := d.text(e.Value); ok {
				f.Content = s
			}
		})
		(*files)[i] = f
	}
}

// A contentSource is where a text comes from.
type contentSource struct{ text string }

var contentFields = []field[contentSource]{{
	key: "from", shape: textShape, example: "cloud-init.yaml.j2", help: "A file beside the document, or below, that holds the text.",
	read: func(d *decoder, n *tree.Node, c *contentSource) { c.text, _ = d.openText(n) },
}}

func readContent(d *decoder, n *tree.Node, into *string) {
	if n.Kind == tree.Mapping {
		var c contentSource
		read(d, contentFields, n, &c)
		*into = c.text
	} else if s, ok := d.text(n); ok {
		*into = s
	}
}

// openText reads a file as text.
func (d *decoder) openText(n *tree.Node) (string, bool) {
	data, ok := d.open(n)
	if !ok {
		return "", false
	}
	if !d.files.Take(len(data)) {
		d.fail(n.At, "the document and what it includes have more than %d bytes", tree.MaxTotal)
		return "", false
	}
	if bad := tree.InvalidUTF8(data); bad >= 0 {
		d.fail(n.At, "%q is not UTF-8 text", n.Text)
		return "", false
	}
	return string(data), true
}
