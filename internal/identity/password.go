package identity

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// Passwords are hashed with argon2id. The parameters stand beside each hash, in the PHC string
// format, so they can be raised later: 19 MiB and two passes are OWASP's recommendation for a server
// that has other things to do with its memory.
const (
	argonMemory  = 19 * 1024 // KiB
	argonTime    = 2
	argonThreads = 1
	saltLength   = 16
	keyLength    = 32
)

// Bounds of what a stored hash may ask for, so that a damaged record cannot take the server down.
const (
	maxArgonMemory = 1 << 20 // KiB: 1 GiB
	maxArgonTime   = 64
)

// Bounds of a password's length in bytes.
const (
	minPassword = 8
	maxPassword = 1024
)

// A hasher runs argon2, as many at a time as there are cores; the others wait.
type hasher struct {
	slots chan struct{}
}

func newHasher() *hasher {
	return &hasher{slots: make(chan struct{}, runtime.GOMAXPROCS(0))}
}

// hash returns the PHC string of the password with a new salt.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	p := newPHC()
	if err := h.run(ctx, func() { p.key = p.derive(password) }); err != nil {
		return "", fmt.Errorf("hash the password: %w", err)
	}
	return p.String(), nil
}

// verify reports whether the password is the one that was hashed, in constant time.
func (h *hasher) verify(ctx context.Context, hash, password string) (ok bool, err error) {
	p, err := parsePHC(hash)
	if err != nil {
		return false, err
	}
	err = h.run(ctx, func() { ok = subtle.ConstantTimeCompare(p.derive(password), p.key) == 1 })
	return ok, err
}

func (h *hasher) run(ctx context.Context, work func()) error {
	select {
	case h.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-h.slots }()
	work()
	return nil
}

// phc is a password hash as the PHC string format writes it:
// $argon2id$v=19$m=19456,t=2,p=1$salt$key, both in base64 without padding.
type phc struct {
	memory, time uint32
	threads      uint8
	salt, key    []byte
}

// newPHC returns today's parameters with a random salt and, in place of a key, random bytes.
func newPHC() phc {
	p := phc{memory: argonMemory, time: argonTime, threads: argonThreads, salt: make([]byte, saltLength), key: make([]byte, keyLength)}
	rand.Read(p.salt)
	rand.Read(p.key)
	return p
}

// unmatchable returns a hash that costs as much to verify as any and that no password has.
func unmatchable() string { return newPHC().String() }

func (p phc) derive(password string) []byte {
	return argon2.IDKey([]byte(password), p.salt, p.time, p.memory, p.threads, uint32(len(p.key)))
}

func (p phc) String() string {
	enc := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.time, p.threads,
		enc.EncodeToString(p.salt), enc.EncodeToString(p.key))
}

func parsePHC(text string) (phc, error) {
	var p phc
	// The text itself must not come into an error: it is a secret of sorts.
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return p, fmt.Errorf("stored password: %w: not an argon2id hash of version %d", ErrInvalid, argon2.Version)
	}
	const parameters = "m=%d,t=%d,p=%d"
	_, err := fmt.Sscanf(parts[3], parameters, &p.memory, &p.time, &p.threads)
	if err != nil || parts[3] != fmt.Sprintf(parameters, p.memory, p.time, p.threads) {
		return p, fmt.Errorf("stored password: %w: parameters", ErrInvalid)
	}
	if p.memory < 8 || p.memory > maxArgonMemory || p.time < 1 || p.time > maxArgonTime || p.threads < 1 {
		return p, fmt.Errorf("stored password: %w: parameters out of bounds", ErrInvalid)
	}
	if p.salt, err = base64.RawStdEncoding.Strict().DecodeString(parts[4]); err != nil || len(p.salt) < 8 || len(p.salt) > 64 {
		return p, fmt.Errorf("stored password: %w: salt", ErrInvalid)
	}
	if p.key, err = base64.RawStdEncoding.Strict().DecodeString(parts[5]); err != nil || len(p.key) < 16 || len(p.key) > 64 {
		return p, fmt.Errorf("stored password: %w: key", ErrInvalid)
	}
	return p, nil
}

// checkPassword says what is wrong with a new password, without repeating it.
func checkPassword(password string) error {
	switch {
	case len(password) < minPassword:
		return fmt.Errorf("password: %w: it needs at least %d characters", ErrInvalid, minPassword)
	case len(password) > maxPassword:
		return fmt.Errorf("password: %w: it may have at most %d bytes", ErrInvalid, maxPassword)
	case !utf8.ValidString(password) || strings.ContainsFunc(password, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("password: %w: it holds control characters or broken UTF-8", ErrInvalid)
	case strings.HasPrefix(password, tokenPrefix):
		return fmt.Errorf("password: %w: it may not start with %q, as tokens do", ErrInvalid, tokenPrefix)
	}
	return nil
}

// passwordLetters leave out what is easily mistaken: i, l, o, u.
const passwordLetters = "0123456789abcdefghjkmnpqrstvwxyz"

// GeneratePassword returns a random password of 140 bits, in groups that can be read aloud:
// "k7md-29fx-…".
func GeneratePassword() string {
	random := make([]byte, 28)
	rand.Read(random)
	var b strings.Builder
	for i, r := range random {
		if i > 0 && i%4 == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(passwordLetters[r&31])
	}
	return b.String()
}
