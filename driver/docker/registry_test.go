//go:build linux

package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/docker/dockertest"
)

// An imageServer is a registry that serves one image under every name, made of the busybox of the host, to whoever gives the password.
type imageServer struct {
	*httptest.Server
	blobs     map[string][]byte
	manifest  []byte
	asked     atomic.Int64             // how often the registry was asked for the manifest
	manifests atomic.Int64             // how often it was got
	password  string                   // "" lets everybody in
	status    atomic.Int64             // answered in place of the manifest; 0 for none
	hold      func(name string) func() // called before a blob is served
}

func digest(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

func newImageServer(t testing.TB, password string) *imageServer {
	t.Helper()
	r := &imageServer{blobs: map[string][]byte{}, password: password}
	layer := layer(t)
	config, err := json.Marshal(map[string]any{"architecture": "amd64", "os": "linux", "config": map[string]any{"Cmd": []string{"/bin/sh"}, "Env": []string{"PATH=/bin"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digest(layer)}}})
	if err != nil {
		t.Fatal(err)
	}
	r.blobs[digest(layer)], r.blobs[digest(config)] = layer, config
	part := func(kind string, b []byte) map[string]any {
		return map[string]any{"mediaType": "application/vnd.docker." + kind, "size": len(b), "digest": digest(b)}
	}
	r.manifest, err = json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
		"config": part("container.image.v1+json", config), "layers": []any{part("image.rootfs.diff.tar", layer)}})
	if err != nil {
		t.Fatal(err)
	}
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.Close)
	return r
}

func layer(t testing.TB) []byte {
	t.Helper()
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []*tar.Header{
		{Typeflag: tar.TypeDir, Name: "bin/", Mode: 0o755}, {Typeflag: tar.TypeReg, Name: "bin/busybox", Mode: 0o755, Size: int64(len(busybox))},
		{Typeflag: tar.TypeSymlink, Name: "bin/sh", Linkname: "busybox"}, {Typeflag: tar.TypeSymlink, Name: "bin/sleep", Linkname: "busybox"},
	} {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write(busybox); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func (r *imageServer) serve(w http.ResponseWriter, req *http.Request) {
	if user, password, _ := req.BasicAuth(); r.password != "" && (user != "ann" || password != r.password) {
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`, http.StatusUnauthorized)
		return
	}
	switch {
	case strings.Contains(req.URL.Path, "/manifests/"):
		r.asked.Add(1)
		if status := int(r.status.Load()); status != 0 {
			codes := map[int]string{404: "MANIFEST_UNKNOWN", 429: "TOOMANYREQUESTS", 500: "UNKNOWN"}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"errors":[{"code":%q,"message":"as the test wants"}]}`, codes[status])
			return
		}
		if req.Method == http.MethodGet {
			r.manifests.Add(1)
		}
		w.Header().Set("Content-Type", "application/vnd.docker.distribution.manifest.v2+json")
		w.Header().Set("Docker-Content-Digest", digest(r.manifest))
		_, _ = w.Write(r.manifest)
	case strings.Contains(req.URL.Path, "/blobs/"):
		_, name, _ := strings.Cut(req.URL.Path, "/blobs/")
		if r.hold != nil {
			r.hold(name)()
		}
		_, _ = w.Write(r.blobs[name])
	}
}

// image is a name that the daemon has not heard of yet.
func (r *imageServer) image() string {
	return strings.TrimPrefix(r.URL, "http://") + fmt.Sprintf("/shop/web:%d", serial.Add(1))
}

func from(image, pull string) map[string]any {
	return with(with(machine("/bin/sh", "-c", forever), "image", image), "pull", pull)
}

func TestPull(t *testing.T) {
	s := newStage(t, shared(t), nil)
	r := newImageServer(t, "")
	image := r.image()
	s.refused(s.request(from(image, "never")), driver.ErrInvalid, "pull says never")
	if n := r.asked.Load(); n != 0 {
		t.Errorf("never: asked %d times", n)
	}
	// Several that need the image at once pull it once.
	var wg sync.WaitGroup
	for range 4 {
		req := s.request(from(image, "missing"))
		wg.Go(func() {
			if _, err := s.d.Create(s.ctx(), req); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := r.manifests.Load(); n != 1 {
		t.Errorf("missing: pulled %d times", n)
	}
	once := r.asked.Load()
	req := s.request(from(image, "always"))
	m := s.create(req)
	if n := r.asked.Load(); n <= once {
		t.Errorf("always: the registry was asked %d times, before %d times", n, once)
	}
	once = r.asked.Load()
	if again := s.create(req); again.Native != m.Native || r.asked.Load() != once {
		t.Errorf("the same again: %+v, and the registry was asked", again)
	}
	s.run(from(image, "missing"))
	if n := r.asked.Load(); n != once {
		t.Errorf("missing: the registry was asked for an image that is there")
	}
}

func TestRegistryRefuses(t *testing.T) {
	s := newStage(t, shared(t), nil)
	r := newImageServer(t, "")
	for status, class := range map[int64]error{404: driver.ErrInvalid, 429: driver.ErrThrottled} {
		r.status.Store(status)
		s.refused(s.request(from(r.image(), "missing")), class, "pull")
	}
	r.Close()
	s.refused(s.request(from(r.image(), "missing")), driver.ErrUnavailable, "pull")
	s.refused(s.request(from("Not/A:Name:1", "missing")), driver.ErrInvalid, "")
}

func TestRegistryCredentials(t *testing.T) {
	r := newImageServer(t, "s3cret")
	host := strings.TrimPrefix(r.URL, "http://")
	stranger := newStage(t, shared(t), nil)
	stranger.refused(stranger.request(from(r.image(), "missing")), driver.ErrDenied, "")
	wrong := newStage(t, shared(t), map[string]any{"registries": map[string]any{host: "ann:wrong"}})
	_, err := wrong.d.Create(wrong.ctx(), wrong.request(from(r.image(), "missing")))
	if !errors.Is(err, driver.ErrDenied) || strings.Contains(err.Error(), "wrong") {
		t.Errorf("%v", err)
	}
	ann := newStage(t, shared(t), map[string]any{"registries": map[string]any{"http://" + host + "/": "ann:s3cret"}})
	ann.run(from(r.image(), "missing"))
}

// TestSlowPull: a pull outlives the creation that began it, and the next one waits for its end.
func TestSlowPull(t *testing.T) {
	r := newImageServer(t, "")
	held, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	r.hold = func(string) func() {
		return func() {
			once.Do(func() { close(held) })
			<-release
		}
	}
	// A daemon that does not have the layer from other tests.
	fresh := newStage(t, dockertest.Start(t, dockertest.Options{}), nil)
	req := fresh.request(from(r.image(), "missing"))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	go func() { <-held; cancel() }()
	if _, err := fresh.d.Create(ctx, req); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "still on its way") {
		t.Errorf("%v", err)
	}
	close(release)
	fresh.create(req)
	if r.manifests.Load() != 1 {
		t.Error("it was pulled twice")
	}
}

func TestArchive(t *testing.T) {
	s := newStage(t, shared(t), nil)
	file := filepath.Join(s.Dir(), "image.tar")
	saved, err := s.Client.ImageSave(s.ctx(), []string{dockertest.Image})
	s.must(err)
	f, err := os.Create(file)
	s.must(err)
	_, err = io.Copy(f, saved)
	s.must(errors.Join(err, f.Close(), saved.Close()))
	other := newStage(t, dockertest.Start(t, dockertest.Options{}), nil)
	_, err = other.Client.ImageRemove(other.ctx(), dockertest.Image, client.ImageRemoveOptions{})
	s.must(err)
	options := with(shell(forever), "archive", file)
	other.run(options)
	other.refused(other.request(with(with(shell(forever), "archive", file), "image", "other:1")), driver.ErrInvalid, "does not hold image other:1")
	other.refused(other.request(with(with(shell(forever), "archive", "/no/such/file"), "image", "other:1")), driver.ErrInvalid, "no such file")
}
