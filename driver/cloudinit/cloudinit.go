// Package cloudinit reads the user data of machines as far as a driver can carry it out that boots none: files to
// write and commands to run. It also builds what drivers of back ends that do boot machines hand over: archives of
// several parts, compressed user data, NoCloud seeds.
//
// Of #cloud-config it knows write_files, bootcmd, runcmd, hostname and fqdn; each other key is a warning. Scripts
// that begin with #! and boothooks are commands. Archives (multipart/mixed) and gzip are taken apart. What would
// fetch more from elsewhere (#include) is refused with a warning.
package cloudinit

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"

	"github.com/troupe-dev/troupe/driver"
)

// Limits of what is read. What has more is an error.
const (
	MaxSize  = 4 << 20 // bytes, of user data and of all files, decompressed
	maxParts = 100
	maxDepth = 4 // of archives in archives
)

// A Plan is what user data asks for.
type Plan struct {
	Hostname string
	Files    []File
	Boot     []Command // at each start
	Scripts  [][]byte  // at the first start; each is a program with its #! line
	Run      []Command // at the first start, after the scripts
	// Warnings are what is not carried out, in words for the machine's log.
	Warnings []string

	size int
}

// A File is one of write_files.
type File struct {
	Path    string // absolute, as a rule
	Mode    uint32 // permission bits
	Owner   string // user:group; "" for the machine's
	Append  bool   // at the end of what is there
	Content []byte
}

// A Command is a line of shell, or a program with its arguments.
type Command struct {
	Shell string
	Args  []string
}

// Read takes user data apart. The error, which wraps driver.ErrInvalid, says what is wrong with it.
func Read(userData []byte) (*Plan, error) {
	p := &Plan{}
	if err := p.read(userData, "", 0); err != nil {
		return nil, fmt.Errorf("user data: %w: %w", err, driver.ErrInvalid)
	}
	return p, nil
}

// Empty reports whether there is nothing to do, and nothing to say.
func (p *Plan) Empty() bool {
	return len(p.Files)+len(p.Boot)+len(p.Scripts)+len(p.Run)+len(p.Warnings) == 0
}

func (p *Plan) warn(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); len(p.Warnings) < maxParts {
		p.Warnings = append(p.Warnings, text)
	}
}

// grow counts bytes that are held.
func (p *Plan) grow(n int) error {
	if p.size += n; p.size > MaxSize {
		return fmt.Errorf("it has more than %d bytes", MaxSize)
	}
	return nil
}

// kinds are the types of parts by how their text begins.
var kinds = []struct{ begin, kind string }{
	{"#!", "text/x-shellscript"},
	{"#cloud-config-archive", "text/cloud-config-archive"},
	{"#cloud-config", "text/cloud-config"},
	{"#cloud-boothook", "text/cloud-boothook"},
	{"#include-once", "text/x-include-once-url"},
	{"#include", "text/x-include-url"},
	{"#part-handler", "text/part-handler"},
	{"#upstart-job", "text/upstart-job"},
	{"## template: jinja", "text/jinja2"},
}

// read reads one part of a kind; "" to find out.
func (p *Plan) read(text []byte, kind string, depth int) error {
	if depth > maxDepth {
		return errors.New("archives are nested too deep")
	}
	if bytes.HasPrefix(text, []byte{0x1f, 0x8b}) {
		plain, err := gunzip(text)
		if err != nil {
			return err
		}
		return p.read(plain, kind, depth+1)
	}
	if err := p.grow(len(text)); err != nil {
		return err
	}
	if isArchive(text) {
		return p.archive(text, depth)
	}
	if kind == "" || kind == "text/plain" || strings.HasPrefix(kind, "application/") {
		kind = ""
		for _, k := range kinds {
			if bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n\ufeff"), []byte(k.begin)) {
				kind = k.kind
				break
			}
		}
	}
	text = bytes.TrimLeft(text, "\r\n\ufeff")
	switch kind {
	case "text/cloud-config":
		return p.config(text)
	case "text/x-shellscript":
		p.Scripts = append(p.Scripts, text)
	case "text/cloud-boothook":
		_, hook, _ := bytes.Cut(text, []byte("\n"))
		p.Boot = append(p.Boot, Command{Shell: string(hook)})
	case "":
		if len(bytes.TrimSpace(text)) > 0 {
			p.warn("user data that begins with %.20q is of no known kind and ignored", text)
		}
	default:
		p.warn("a part of the type %s is ignored", kind)
	}
	return nil
}

func gunzip(text []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("decompress it: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(z, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("decompress it: %w", err)
	}
	if len(plain) > MaxSize {
		return nil, fmt.Errorf("it has more than %d bytes when decompressed", MaxSize)
	}
	return plain, nil
}

// isArchive reports whether a text begins with the headers of an archive.
func isArchive(text []byte) bool {
	for line := range bytes.Lines(text[:min(len(text), 4096)]) {
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || bytes.ContainsAny(name, " \t#") {
			// The continuation of a header begins with a blank.
			if len(line) > 0 && (line[0] == ' ' || line[0] == '\t') {
				continue
			}
			return false
		}
		if strings.EqualFold(string(name), "Content-Type") {
			return strings.HasPrefix(strings.ToLower(strings.TrimSpace(string(value))), "multipart/")
		}
	}
	return false
}

func (p *Plan) archive(text []byte, depth int) error {
	message, err := mail.ReadMessage(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("read the archive: %w", err)
	}
	_, params, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil || params["boundary"] == "" {
		return errors.New("read the archive: its Content-Type names no boundary")
	}
	parts := multipart.NewReader(message.Body, params["boundary"])
	for n := 0; ; n++ {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && n == maxParts {
			err = fmt.Errorf("it has more than %d parts", maxParts)
		}
		if err != nil {
			return fmt.Errorf("read the archive: %w", err)
		}
		body, err := decoded(part, part.Header.Get("Content-Transfer-Encoding"))
		if err != nil {
			return fmt.Errorf("read part %d of the archive: %w", n+1, err)
		}
		kind, _, err := mime.ParseMediaType(part.Header.Get("Content-Type"))
		if err != nil {
			kind = ""
		}
		if strings.HasPrefix(kind, "multipart/") {
			body = append([]byte("Content-Type: "+part.Header.Get("Content-Type")+"\n\n"), body...)
		}
		if err := p.read(body, kind, depth+1); err != nil {
			return err
		}
	}
}

// decoded reads the body of a part.
func decoded(r io.Reader, encoding string) ([]byte, error) {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "7bit", "8bit", "binary":
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, r)
	case "quoted-printable":
		r = quotedprintable.NewReader(r)
	default:
		return nil, fmt.Errorf("the encoding %q is not known", encoding)
	}
	text, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err == nil && len(text) > MaxSize {
		err = fmt.Errorf("it has more than %d bytes", MaxSize)
	}
	return text, err
}
