package orchestrator

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// A HostKeyError says that a host shows another key than it must: it may be another host.
type HostKeyError struct {
	Instance  string // what the key belongs to
	Want, Got string // fingerprints, SHA256:…
	Pinned    bool   // it was remembered from the first connection
}

// Error implements error.
func (e *HostKeyError) Error() string {
	if e.Pinned {
		return fmt.Sprintf("%s shows the host key %s, and showed %s before: it is another machine, or somebody is between; if it was replaced, forget its key", e.Instance, e.Got, e.Want)
	}
	return fmt.Sprintf("%s shows the host key %s, not %s", e.Instance, e.Got, e.Want)
}

// HostKeys remembers which key each instance showed at the first connection. Safe for concurrent use.
type HostKeys struct {
	mu   sync.Mutex
	file string // "" for none
	of   map[string]ssh.PublicKey
}

// NewHostKeys returns what a file remembers, and has it remember more; "" keeps it in memory. The file has the form of
// OpenSSH's known_hosts, with instances in place of hosts, and is made when it is missing.
func NewHostKeys(file string) (*HostKeys, error) {
	h := &HostKeys{file: file, of: make(map[string]ssh.PublicKey)}
	if file == "" {
		return h, nil
	}
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read host keys: %w", err)
	}
	in := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; in.Scan(); n++ {
		if line := strings.TrimSpace(in.Text()); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		_, names, key, _, _, err := ssh.ParseKnownHosts(in.Bytes())
		if err != nil {
			return nil, fmt.Errorf("read host keys: %s:%d: %w", file, n, err)
		}
		for _, name := range names {
			h.of[name] = key
		}
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("read host keys: %s: %w", file, err)
	}
	return h, nil
}

// Forget has the next connection to an instance decide anew which key it has.
func (h *HostKeys) Forget(instance string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, known := h.of[instance]; !known {
		return nil
	}
	delete(h.of, instance)
	if h.file == "" {
		return nil
	}
	var text bytes.Buffer
	for name, key := range h.of {
		text.WriteString(knownhosts.Line([]string{name}, key) + "\n")
	}
	half := h.file + ".new"
	if err := errors.Join(os.WriteFile(half, text.Bytes(), 0o600), os.Rename(half, h.file)); err != nil {
		return fmt.Errorf("forget the host key of %s: %w", instance, err)
	}
	return nil
}

// check compares the key of an instance with the one that it showed first, which this may be.
func (h *HostKeys) check(instance string, key ssh.PublicKey) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if known := h.of[instance]; known != nil {
		if bytes.Equal(known.Marshal(), key.Marshal()) {
			return nil
		}
		return &HostKeyError{Instance: instance, Want: ssh.FingerprintSHA256(known), Got: ssh.FingerprintSHA256(key), Pinned: true}
	}
	if h.file != "" {
		f, err := os.OpenFile(h.file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Errorf("remember the host key of %s: %w", instance, err)
		}
		_, err = f.WriteString(knownhosts.Line([]string{instance}, key) + "\n")
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("remember the host key of %s: %w", instance, err)
		}
	}
	h.of[instance] = key
	return nil
}

// algorithms are those of the key that an instance showed, so that it shows the same again; nil for any.
func (h *HostKeys) algorithms(instance string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := h.of[instance]
	switch {
	case key == nil:
		return nil
	case key.Type() == ssh.KeyAlgoRSA:
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{key.Type()}
}

// callback returns what checks the key that a host shows. want is a fingerprint or a public key; "" for none.
func (h *HostKeys) callback(instance, want string) (ssh.HostKeyCallback, error) {
	if want != "" && !strings.HasPrefix(want, "SHA256:") {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(want))
		if err != nil {
			return nil, fmt.Errorf("the host key of %s is neither a fingerprint (SHA256:…) nor a public key: %w", instance, err)
		}
		want = ssh.FingerprintSHA256(key)
	}
	return func(_ string, _ net.Addr, key ssh.PublicKey) error {
		if got := ssh.FingerprintSHA256(key); want != "" && got != want {
			return &HostKeyError{Instance: instance, Want: want, Got: got}
		}
		if h == nil {
			return nil
		}
		return h.check(instance, key)
	}, nil
}
