package docker

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/troupe-dev/troupe/driver"
)

// words are what daemon and registries say, and what it means, where the status of the answer does not tell. The first
// that matches counts.
var words = []struct {
	says  string
	class error
}{
	{"client version ", driver.ErrUnavailable}, // a daemon came up between the question for its version and this call
	{"permission denied: unknown", driver.ErrInvalid}, {"toomanyrequests", driver.ErrThrottled}, {"too many requests", driver.ErrThrottled}, {"rate limit", driver.ErrThrottled},
	{"no space left on device", driver.ErrCapacity}, {"disk quota exceeded", driver.ErrCapacity}, {"not enough space", driver.ErrCapacity},
	{"port is already allocated", driver.ErrCapacity}, {"address already in use", driver.ErrCapacity},
	{"no available ipv4 addresses", driver.ErrCapacity}, {"no available ip addresses", driver.ErrCapacity},
	{"non-overlapping", driver.ErrCapacity}, {"predefined address pools have been fully subnetted", driver.ErrCapacity},
	{"pool overlaps with other one", driver.ErrInvalid}, {"range of cpus is from", driver.ErrCapacity},
	{"cannot allocate memory", driver.ErrCapacity}, {"too many open files", driver.ErrCapacity},
	{onlyConfigured, driver.ErrInvalid}, {"pull access denied", driver.ErrDenied}, {"unauthorized", driver.ErrDenied}, {"no basic auth credentials", driver.ErrDenied},
	{"denied: ", driver.ErrDenied}, {"authentication required", driver.ErrDenied},
	{"certification settings", driver.ErrDenied}, {"tls: ", driver.ErrDenied},
	{"manifest unknown", driver.ErrInvalid}, {"manifest for", driver.ErrInvalid}, {"no matching manifest", driver.ErrInvalid},
	{"repository does not exist", driver.ErrInvalid}, {"invalid reference format", driver.ErrInvalid},
	{"invalid signal", driver.ErrInvalid}, {"container process: exec", driver.ErrInvalid}, {"container process caused: exec", driver.ErrInvalid},
	{"executable file not found", driver.ErrInvalid}, {"no such file or directory: unknown", driver.ErrInvalid},
	{"exec format error", driver.ErrInvalid},
	{"unable to find user", driver.ErrInvalid}, {"no command specified", driver.ErrInvalid}, {"no command or entrypoint", driver.ErrInvalid},
	{"network-scoped alias is supported only", driver.ErrInvalid}, {"mount point", driver.ErrInvalid},
	{"container rootfs is marked read-only", driver.ErrInvalid}, {"does not support reading", driver.ErrUnsupported},
	{"error gathering device information", driver.ErrInvalid}, {"could not select device driver", driver.ErrInvalid},
}

// classed gives an error of the client its class, and keeps the daemon's words.
func classed(err error) error {
	if err == nil || driver.Class(err) != "other" {
		return err // its class was known where it arose, or its context has ended
	}
	if dial, ok := errors.AsType[*dialError](err); ok {
		if dial.denied {
			return fmt.Errorf("%w: %s (%s)", driver.ErrDenied, dial, dial.words)
		}
		return fmt.Errorf("%w: %w: %s (%s)", driver.ErrUnavailable, driver.ErrUnasked, dial, dial.words)
	}
	return fmt.Errorf("%w: %s", classOf(err), strings.TrimPrefix(err.Error(), "Error response from daemon: "))
}

func classOf(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	text := strings.ToLower(err.Error())
	for _, w := range words {
		if strings.Contains(text, w.says) {
			return w.class
		}
	}
	switch {
	case errdefs.IsResourceExhausted(err):
		return driver.ErrThrottled
	case errdefs.IsUnauthorized(err), errdefs.IsPermissionDenied(err):
		return driver.ErrDenied
	case errdefs.IsNotFound(err), errdefs.IsInvalidArgument(err):
		return driver.ErrInvalid
	case errdefs.IsNotImplemented(err):
		return driver.ErrUnsupported
	}
	return driver.ErrUnavailable
}

// failed says what was being done when a call failed.
func failed(err error, doing string, args ...any) error {
	return fmt.Errorf("docker: %s: %w", fmt.Sprintf(doing, args...), classed(err))
}

// missing reports whether there is no such thing. Podman answers so with the status of an internal failure at times.
func missing(err error) bool {
	return errdefs.IsNotFound(err) || err != nil && strings.Contains(err.Error(), "no such container")
}

// gone takes "there is no such thing" for success.
func gone(err error) error {
	if missing(err) {
		return nil
	}
	return err
}
