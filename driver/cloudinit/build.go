package cloudinit

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"mime"
	"mime/multipart"
	"net/textproto"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/troupe-dev/troupe/driver"
)

// EC2Limit is how many bytes of user data EC2 takes.
const EC2Limit = 16384

// A Part is one text of an archive.
type Part struct {
	Type    string // such as "text/cloud-config"; "" to tell it by how the text begins
	Name    string // of the file; "" for none
	Content []byte
}

// Archive makes one user data of several parts. The same parts give the same bytes.
func Archive(parts ...Part) ([]byte, error) {
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	if err := w.SetBoundary(boundary); err != nil {
		return nil, fmt.Errorf("make an archive: %w", err)
	}
	for _, p := range parts {
		kind := p.Type
		if kind == "" {
			kind = "text/plain"
			for _, k := range kinds {
				if bytes.HasPrefix(p.Content, []byte(k.begin)) {
					kind = k.kind
					break
				}
			}
		}
		h := textproto.MIMEHeader{"Content-Type": {kind + `; charset="utf-8"`}, "Mime-Version": {"1.0"}, "Content-Transfer-Encoding": {"base64"}}
		if p.Name != "" {
			h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": p.Name}))
		}
		to, err := w.CreatePart(h)
		if err != nil {
			return nil, fmt.Errorf("make an archive: %w", err)
		}
		text := base64.StdEncoding.EncodeToString(p.Content)
		for len(text) > 76 {
			fmt.Fprintf(to, "%s\r\n", text[:76])
			text = text[76:]
		}
		fmt.Fprintf(to, "%s\r\n", text)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("make an archive: %w", err)
	}
	head := "Content-Type: multipart/mixed; boundary=\"" + w.Boundary() + "\"\r\nMIME-Version: 1.0\r\n\r\n"
	return append([]byte(head), body.Bytes()...), nil
}

// boundary is a line that no part holds: all are in base64.
const boundary = "=troupe-part="

// Fit returns user data that has at most limit bytes: as it is, or compressed, which cloud-init finds out by itself.
// The error, when neither is short enough, wraps driver.ErrInvalid.
func Fit(userData []byte, limit int) ([]byte, error) {
	if len(userData) <= limit {
		return userData, nil
	}
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err == nil {
		_, err = z.Write(userData)
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("compress user data: %w", err)
	}
	if b.Len() > limit {
		return nil, fmt.Errorf("user data has %d bytes, %d when compressed; %d are the most: %w", len(userData), b.Len(), limit, driver.ErrInvalid)
	}
	return b.Bytes(), nil
}

// A Seed is what a machine with the data source NoCloud reads from its medium, under these names in lower case:
// user-data, meta-data, network-config.
type Seed struct {
	UserData, MetaData, NetworkConfig []byte // NetworkConfig is nil for the image's default
}

// NewSeed makes a seed. id changes with each machine, so that first starts are told from others.
func NewSeed(id driver.MachineID, hostname string, userData, networkConfig []byte) (Seed, error) {
	meta, err := yaml.Marshal(yaml.MapSlice{{Key: "instance-id", Value: string(id)}, {Key: "local-hostname", Value: hostname}})
	if err != nil {
		return Seed{}, fmt.Errorf("make meta-data: %w", err)
	}
	if len(userData) == 0 {
		userData = []byte("#cloud-config\n{}\n")
	}
	if strings.TrimSpace(string(networkConfig)) == "" {
		networkConfig = nil
	}
	return Seed{userData, meta, networkConfig}, nil
}
