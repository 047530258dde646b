package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"

	"github.com/troupe-dev/troupe/driver"
)

// pullTime is how long an image may take to arrive. A pull goes on when the creation that asked for it has ended.
const pullTime = time.Hour

// A pull is an image on its way.
type pull struct {
	done chan struct{}
	err  error // once done
}

// provide sees to an image that a creation may have missed. It returns false with the creation's own error where the
// image is there.
func (h *host) provide(ctx context.Context, p *plan, missed error) (bool, error) {
	if _, err := h.cli.ImageInspect(ctx, p.config.Image); err == nil || !missing(err) {
		return false, errors.Join(missed, err)
	}
	if p.pull == "never" && p.archive == "" {
		return false, fmt.Errorf("%w: the daemon does not have image %s, and pull says never", driver.ErrInvalid, p.config.Image)
	}
	if p.source != "" {
		return true, h.imported(ctx, p, false)
	}
	if p.archive != "" {
		if err := h.load(ctx, p.archive); err != nil {
			return false, err
		}
		if _, err := h.cli.ImageInspect(ctx, p.config.Image); err == nil {
			return true, nil
		}
		if p.pull == "never" {
			return false, fmt.Errorf("%w: archive %s does not hold image %s", driver.ErrInvalid, p.archive, p.config.Image)
		}
	}
	return true, h.pull(ctx, p.config.Image)
}

// renew gets the image anew.
func (h *host) renew(ctx context.Context, p *plan) error {
	if p.source != "" {
		return h.imported(ctx, p, true)
	}
	return h.pull(ctx, p.config.Image)
}

func (h *host) pull(ctx context.Context, image string) error {
	return h.deliver(ctx, image, func(ctx context.Context) error { return h.fetch(ctx, image) })
}

// deliver gets an image, once for all that wait for it. No machine was made yet, so that every failure is definite.
func (h *host) deliver(ctx context.Context, image string, get func(context.Context) error) error {
	h.mu.Lock()
	p := h.pulls[image]
	if p == nil {
		p = &pull{done: make(chan struct{})}
		h.pulls[image] = p
		go func() {
			ctx, cancel := context.WithTimeout(h.ctx, pullTime)
			defer cancel()
			if err := get(ctx); err != nil {
				if p.err = classed(err); !driver.Definite(p.err) {
					p.err = fmt.Errorf("%w (%w)", p.err, driver.ErrUnasked)
				}
			}
			h.mu.Lock()
			delete(h.pulls, image)
			h.mu.Unlock()
			close(p.done)
		}()
	}
	h.mu.Unlock()
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("image %s is still on its way: %w", image, ctx.Err())
	}
}

// fetch pulls an image from its registry.
func (h *host) fetch(ctx context.Context, image string) error {
	ref, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return refuse("image", fmt.Sprintf("%q: %v", image, err))
	}
	auth, err := h.authOf(reference.Domain(ref))
	if err == nil {
		var r client.ImagePullResponse
		if r, err = h.cli.ImagePull(ctx, image, client.ImagePullOptions{RegistryAuth: auth}); err == nil {
			err = r.Wait(ctx)
		}
	}
	if err != nil {
		return fmt.Errorf("pull %s: %w", image, err)
	}
	return nil
}

// authOf returns the credentials for a registry as the daemon takes them, "" for none.
func (h *host) authOf(domain string) (string, error) {
	user, password, ok := strings.Cut(h.registries[domain], ":")
	if !ok {
		return "", nil
	}
	if domain == "docker.io" {
		domain = "https://index.docker.io/v1/"
	}
	return authconfig.Encode(registry.AuthConfig{Username: user, Password: password, ServerAddress: domain})
}

// load gives the daemon the images of an archive.
func (h *host) load(ctx context.Context, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return refuse("archive", err.Error())
	}
	defer f.Close()
	r, err := h.cli.ImageLoad(ctx, f, client.ImageLoadWithQuiet(true))
	if err != nil {
		return fmt.Errorf("load %s: %w", path, err)
	}
	if err := finished(r); err != nil {
		return fmt.Errorf("load %s: %w: %w", path, err, driver.ErrInvalid)
	}
	return nil
}

// finished reads the stream in which the daemon tells how it takes an image, and returns what it complains of.
func finished(r io.ReadCloser) error {
	answer, err := io.ReadAll(io.LimitReader(r, 1<<20))
	if err = errors.Join(err, r.Close()); err != nil {
		return err
	}
	if _, complaint, wrong := strings.Cut(string(answer), `"error":`); wrong {
		return errors.New(strings.Trim(complaint, "\"}\r\n "))
	}
	return nil
}
