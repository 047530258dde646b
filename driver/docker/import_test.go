//go:build linux

package docker

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/moby/moby/client"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/docker/dockertest"
)

// An archiveServer gives root file systems to whoever asks.
type archiveServer struct {
	*httptest.Server
	asked atomic.Int64
	files sync.Map // by path: []byte, or the status of the answer
}

func newArchiveServer(t testing.TB) *archiveServer {
	a := &archiveServer{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.asked.Add(1)
		switch v, _ := a.files.Load(r.URL.Path); v := v.(type) {
		case []byte:
			_, _ = w.Write(v)
		case int:
			w.WriteHeader(v)
		case string:
			http.Redirect(w, r, v, http.StatusFound)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *archiveServer) put(path string, v any) string {
	a.files.Store(path, v)
	return a.URL + path
}

func zipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(b)
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func importing(source, image string) map[string]any {
	return with(with(with(machine("/bin/sh", "-c", "cat /made; "+forever), "image", image), "pull", "missing"), "import", source)
}

func rootfs(t testing.TB, made string) []byte {
	t.Helper()
	root, err := dockertest.Rootfs(dockertest.File{Name: "made", Mode: 0o644, Text: []byte(made)})
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func TestImport(t *testing.T) {
	s := newStage(t, shared(t), map[string]any{"import_allow": []string{"127.0.0.1/32"}})
	a := newArchiveServer(t)
	source := a.put("/web.tar.gz", zipped(t, rootfs(t, "first\n")))
	image := fmt.Sprintf("shop/web:%d", serial.Add(1))
	// Several that need the image at once fetch it once.
	var wg sync.WaitGroup
	for range 4 {
		req := s.request(importing(source, image))
		wg.Go(func() {
			if _, err := s.d.Create(s.ctx(), req); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := a.asked.Load(); n != 1 {
		t.Errorf("fetched %d times", n)
	}
	m := s.run(importing(source, image))
	s.logged(m, "first\n", 1)
	if n := a.asked.Load(); n != 1 {
		t.Errorf("an image that is there was fetched again")
	}
	// Only this machine's image is meant by what was imported: not what others call by that name.
	if _, err := s.Client.ImageInspect(s.ctx(), image); !missing(err) {
		t.Errorf("the daemon knows it as %s: %v", image, err)
	}
	other := a.put("/other.tar", rootfs(t, "second\n"))
	s.logged(s.run(importing(other, image)), "second\n", 1)
	s.logged(s.run(importing(source, image)), "first\n", 1)
	a.put("/web.tar.gz", rootfs(t, "third\n"))
	s.logged(s.run(with(importing(source, image), "pull", "always")), "third\n", 1)
	// What the daemon has under the image's own name is taken as it is.
	s.must(s.Import(s.ctx(), image, rootfs(t, "own\n")))
	s.logged(s.run(importing(source, image)), "own\n", 1)
	s.refused(s.request(with(importing(source, "other:1"), "pull", "never")), driver.ErrInvalid, "pull says never")
	list, err := s.Client.ImageList(s.ctx(), client.ImageListOptions{Filters: make(client.Filters).Add("reference", "localhost/troupe-import/shop/web")})
	if err != nil || len(list.Items) != 2 {
		t.Errorf("%d images were imported, %v", len(list.Items), err)
	}
}

func TestImportRefused(t *testing.T) {
	closed := newStage(t, shared(t), nil)
	a := newArchiveServer(t)
	source := a.put("/web.tar", rootfs(t, ""))
	closed.refused(closed.request(importing(source+"?signature=s3cret", "no:1")), driver.ErrInvalid,
		"import "+source+": invalid request: 127.0.0.1 is a loopback address, which users may not have the server call; an operator can open it with the account's import_allow: 127.0.0.1/32")
	closed.refused(closed.request(importing(strings.Replace(source, "127.0.0.1", "localhost", 1), "no:1")), driver.ErrInvalid, "loopback")
	closed.refused(closed.request(importing("http://169.254.169.254/latest", "no:1")), driver.ErrInvalid, "link-local")
	if n := a.asked.Load(); n != 0 {
		t.Errorf("it was asked %d times all the same", n)
	}

	s := newStage(t, shared(t), map[string]any{"import_allow": []string{"127.0.0.1/32"}, "import_size": "4M"})
	saved, err := s.Client.ImageSave(s.ctx(), []string{dockertest.Image})
	s.must(err)
	ofSave, err := io.ReadAll(saved)
	s.must(errors.Join(err, saved.Close()))
	huge := tarOf(t, &tar.Header{Name: "zero", Size: 5 << 20, Mode: 0o644})
	whole := rootfs(t, "")
	for path, c := range map[string]struct {
		gives any
		class error
		says  string
	}{
		"/none":    {http.StatusNotFound, driver.ErrInvalid, "404"},
		"/denied":  {http.StatusForbidden, driver.ErrDenied, "403"},
		"/busy":    {http.StatusTooManyRequests, driver.ErrThrottled, "429"},
		"/down":    {http.StatusBadGateway, driver.ErrUnavailable, "502"},
		"/page":    {[]byte(strings.Repeat("<html>", 1000)), driver.ErrInvalid, "this is no archive"},
		"/empty":   {[]byte{}, driver.ErrInvalid, "the archive is empty"},
		"/short":   {whole[:len(whole)/2], driver.ErrUnavailable, "unexpected EOF"},
		"/huge":    {huge, driver.ErrInvalid, "more than 4194304 bytes"},
		"/bomb":    {zipped(t, huge), driver.ErrInvalid, "more than 4194304 bytes"},
		"/xz":      {[]byte("\xfd7zXZ\x00\x00"), driver.ErrInvalid, "not with gzip"},
		"/save":    {ofSave, driver.ErrInvalid, "docker save"},
		"/away":    {"http://127.0.0.2:1/", driver.ErrInvalid, "loopback"},
		"/circle":  {"/circle", driver.ErrInvalid, "302"},
		"/nothing": {"http://127.0.0.1:1/", driver.ErrUnavailable, "connection refused"},
	} {
		t.Run(path[1:], func(t *testing.T) {
			s := &stage{TB: t, Daemon: s.Daemon, d: s.d, host: s.host, name: s.name}
			req := s.request(importing(a.put(path, c.gives)+"?signature=s3cret", "no:1"))
			s.refused(req, c.class, c.says)
			if _, err := s.d.Create(s.ctx(), req); !driver.Definite(err) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%v", err)
			}
		})
	}
	list, err := s.Client.ImageList(s.ctx(), client.ImageListOptions{Filters: make(client.Filters).Add("reference", "localhost/troupe-import/no")})
	if err != nil || len(list.Items) != 0 {
		t.Errorf("%d images were made, %v", len(list.Items), err)
	}
	for _, c := range []struct{ source, says string }{
		{"ftp://x/y", "http or https"}, {"/etc/passwd", "http or https"}, {"http:///x", "http or https"}, {"https://ann:pw@x/y", "user or password"},
	} {
		s.refused(s.request(importing(c.source, "no:1")), driver.ErrInvalid, c.says)
	}
	s.refused(s.request(with(importing(source, "no:1"), "archive", "/x")), driver.ErrInvalid, "beside archive")
	if _, err := Kind().New(t.Context(), driver.Config{Values: map[string]any{"import_allow": []string{"home"}}}); err == nil {
		t.Error("a network that is none was taken")
	}
}

func tarOf(t testing.TB, head *tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(head)
	if err == nil {
		_, err = w.Write(make([]byte, head.Size))
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// FuzzCopyImage: whatever is given, what comes out is an archive within the limit, or an error.
func FuzzCopyImage(f *testing.F) {
	f.Add([]byte("\x1f\x8b"))
	f.Add([]byte("<html>"))
	small := tarOf(&testing.T{}, &tar.Header{Name: "a", Size: 3, Mode: 0o644})
	f.Add(small)
	f.Add(zipped(&testing.T{}, small))
	const limit = 1 << 16
	f.Fuzz(func(t *testing.T, b []byte) {
		var out bytes.Buffer
		err := copyImage(&out, bytes.NewReader(b), limit)
		if out.Len() > 4*limit {
			t.Errorf("%d bytes", out.Len())
		}
		if err != nil {
			if driver.Class(err) == "other" {
				t.Errorf("unclassed: %v", err)
			}
			return
		}
		for r := tar.NewReader(&out); ; {
			if _, err := r.Next(); err == io.EOF {
				return
			} else if err != nil {
				t.Fatal(err)
			}
		}
	})
}
