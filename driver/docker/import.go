package docker

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/moby/moby/client"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/egress"
)

const (
	importWait      = 30 * time.Second // for a connection, and for the first byte of an answer
	importStall     = time.Minute      // without a byte
	importRedirects = 5
	importEntries   = 1_000_000 // files of an image
)

// newFetcher returns the client that fetches what users name. It uses no proxy, which would connect in its place.
func newFetcher(guard *egress.Guard) *http.Client {
	dialer := &net.Dialer{Timeout: importWait, Control: guard.Control}
	return &http.Client{
		Transport: &http.Transport{DialContext: dialer.DialContext, TLSHandshakeTimeout: importWait, ResponseHeaderTimeout: importWait,
			MaxResponseHeaderBytes: 64 << 10, DisableCompression: true, DisableKeepAlives: true},
		CheckRedirect: func(to *http.Request, via []*http.Request) error {
			if len(via) > importRedirects || via[0].URL.Scheme == "https" && to.URL.Scheme != "https" {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}
}

// checkSource reads the URL that an image is imported from.
func checkSource(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return refuse("import", "give a URL with http or https")
	case u.User != nil:
		return refuse("import", "a URL with a user or password would be shown with the machine; give one without")
	}
	return nil
}

// importedName is the daemon's name for what was imported from a URL as an image. It is not the image's own: what that
// means for everybody else on the daemon is not for a user to say.
func importedName(source, image string) (string, error) {
	ref, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return "", refuse("image", fmt.Sprintf("%q: %v", image, err))
	}
	sum := sha256.Sum256([]byte(source + "\n" + image))
	return fmt.Sprintf("localhost/troupe-import/%s:%x", reference.Path(ref), sum[:16]), nil
}

// imported sees to the image that is imported from a URL, anew if it must be, and makes the container one of it.
func (h *host) imported(ctx context.Context, p *plan, anew bool) error {
	name, err := importedName(p.source, p.config.Image)
	if err != nil {
		return err
	}
	if _, err = h.cli.ImageInspect(ctx, name); missing(err) || err == nil && anew {
		err = h.deliver(ctx, name, func(ctx context.Context) error {
			if err := h.importFrom(ctx, p.source, name); err != nil {
				where, _, _ := strings.Cut(p.source, "?") // what follows may be a signature
				return fmt.Errorf("import %s: %w", where, err)
			}
			return nil
		})
	}
	if err == nil {
		p.config.Image = name
	}
	return err
}

// importFrom makes an image of the archive that a URL gives.
func (h *host) importFrom(ctx context.Context, source, name string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	body, err := h.download(ctx, source)
	if err != nil {
		return err
	}
	defer body.Close()
	stall := time.AfterFunc(importStall, func() { cancel(errStalled) })
	defer stall.Stop()
	out, in := io.Pipe()
	fed := make(chan error, 1)
	go func() {
		err := copyImage(in, &steady{body, stall}, h.importSize)
		in.CloseWithError(err)
		fed <- err
	}()
	answer, err := h.cli.ImageImport(ctx, client.ImageImportSource{Source: out, SourceName: "-"}, name, client.ImageImportOptions{})
	if err == nil {
		err = finished(answer)
	}
	out.CloseWithError(io.ErrClosedPipe)
	if wrong := <-fed; wrong != nil && !errors.Is(wrong, io.ErrClosedPipe) {
		err = wrong
	}
	if context.Cause(ctx) == errStalled {
		err = errStalled
	}
	return err
}

var errStalled = fmt.Errorf("%w: nothing came for %v", driver.ErrUnavailable, importStall)

// A steady reader lets a timer run while it waits.
type steady struct {
	io.Reader
	timer *time.Timer
}

func (s *steady) Read(b []byte) (int, error) {
	s.timer.Reset(importStall)
	n, err := s.Reader.Read(b)
	s.timer.Stop()
	return n, err
}

// download asks for what a URL gives. Errors do not repeat the URL.
func (h *host) download(ctx context.Context, source string) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, source, nil)
	if err != nil {
		return nil, checkSource(source)
	}
	r.Header.Set("User-Agent", "troupe")
	answer, err := h.fetcher.Do(r)
	if outer, ok := errors.AsType[*url.Error](err); ok {
		err = outer.Err
	}
	if refused, ok := errors.AsType[*egress.RefusedError](err); ok {
		return nil, fmt.Errorf("%w: %w", driver.ErrInvalid, refused)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", driver.ErrUnavailable, err)
	}
	if answer.StatusCode == http.StatusOK {
		return answer.Body, nil
	}
	class := driver.ErrInvalid
	switch status := answer.StatusCode; {
	case status == http.StatusTooManyRequests:
		class = driver.ErrThrottled
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		class = driver.ErrDenied
	case status == http.StatusRequestTimeout || status >= 500:
		class = driver.ErrUnavailable
	}
	return nil, errors.Join(fmt.Errorf("%w: it was answered with %s", class, answer.Status), answer.Body.Close())
}

// copyImage copies a root file system, as tar or tar.gz, as plain tar. What would become larger than the limit in
// bytes, and what is none, is of class ErrInvalid.
func copyImage(to io.Writer, from io.Reader, limit int64) error {
	in := bufio.NewReader(from)
	begin, err := in.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return broken(err)
	}
	plain := io.Reader(in)
	switch {
	case bytes.HasPrefix(begin, []byte{0x1f, 0x8b}):
		if plain, err = gzip.NewReader(in); err != nil {
			return broken(err)
		}
	case bytes.HasPrefix(begin, []byte("BZh")), bytes.HasPrefix(begin, []byte("\xfd7zXZ\x00")), bytes.HasPrefix(begin, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return fmt.Errorf("%w: the archive is compressed, but not with gzip; give a .tar or .tar.gz", driver.ErrInvalid)
	}
	r, w := tar.NewReader(plain), tar.NewWriter(to)
	for n, size := 0, int64(0); ; n++ {
		head, err := r.Next()
		if errors.Is(err, io.EOF) && n > 0 {
			return w.Close()
		}
		if err != nil {
			return broken(err)
		}
		if size += 1024 + head.Size; size > limit || n == importEntries {
			return fmt.Errorf("%w: the image has more than %d bytes, or %d files; an operator can let it have more bytes with import_size", driver.ErrInvalid, limit, importEntries)
		}
		if err := checkEntry(head); err != nil {
			return err
		}
		if err := w.WriteHeader(head); err != nil {
			return fmt.Errorf("%w: %.100q in the archive: %w", driver.ErrInvalid, head.Name, err)
		}
		if _, err := io.Copy(w, r); err != nil {
			return broken(err)
		}
	}
}

// checkEntry refuses what is no file of a root file system, or takes more room than it has bytes.
func checkEntry(head *tar.Header) error {
	for key := range head.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			head.Typeflag = tar.TypeGNUSparse
		}
	}
	name := path.Clean("/" + head.Name)
	switch {
	case head.Typeflag == tar.TypeGNUSparse:
		return fmt.Errorf("%w: %.100q in the archive is a sparse file, which images cannot have", driver.ErrInvalid, head.Name)
	case name == "/oci-layout", len(name) == 75 && path.Base(name) == "layer.tar":
		return fmt.Errorf("%w: the archive is what docker save writes, which names images of its own; give what docker export writes", driver.ErrInvalid)
	}
	return nil
}

// broken gives an error of the archive its class: where the connection is not to blame, the archive is.
func broken(err error) error {
	for _, wrong := range []error{tar.ErrHeader, gzip.ErrHeader, gzip.ErrChecksum} {
		if errors.Is(err, wrong) {
			return fmt.Errorf("%w: this is no archive (.tar or .tar.gz): %w", driver.ErrInvalid, err)
		}
	}
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%w: the archive is empty", driver.ErrInvalid)
	case errors.Is(err, io.ErrClosedPipe), errors.Is(err, context.Canceled):
		return err
	}
	return fmt.Errorf("%w: %w", driver.ErrUnavailable, err)
}
