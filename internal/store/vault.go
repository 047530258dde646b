package store

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/crypto/chacha20poly1305"
)

// MasterKeyFile is the master key's customary name in a data folder. It is no part of a backup.
const MasterKeyFile = "master.key"

const (
	keyHeader   = "troupe-master-key-1:"
	wrapContext = "troupe vault data key"
	sealVersion = 1
)

// A Vault encrypts secrets at rest with XChaCha20-Poly1305. Its data key lies in the store,
// encrypted with a master key that lies in a file. Methods are safe for concurrent use.
type Vault struct {
	aead cipher.AEAD
	key  []byte
}

// wrapped is the record of the data key.
type wrapped struct {
	Key []byte `json:"key"` // sealed by the master key
}

// OpenVault opens the store's vault with the master key in the file. On a state without a vault it
// makes one and, unless the file is there, the file.
func OpenVault(ctx context.Context, s *Store, file string) (*Vault, error) {
	for {
		var have wrapped
		kv, err := s.read(ctx, "vault", &have)
		if err != nil {
			return nil, err
		}
		master, err := masterKey(file, kv.Revision == 0)
		if err != nil {
			return nil, err
		}
		if kv.Revision != 0 {
			key, err := master.Open(have.Key, wrapContext)
			if err != nil {
				return nil, fmt.Errorf("store: %w: %s does not open the secrets of this state; put back the key file that was made with it", ErrWrongKey, file)
			}
			return newVault(key)
		}
		key := make([]byte, chacha20poly1305.KeySize)
		rand.Read(key)
		var t Txn
		t.put("vault", 0, wrapped{master.Seal(key, wrapContext)})
		if _, err := s.Commit(ctx, t); err == nil {
			return newVault(key)
		} else if !errors.Is(err, ErrConflict) {
			return nil, fmt.Errorf("store: make the vault: %w", err)
		}
	}
}

// EphemeralVault returns a vault whose key is nowhere else: what it seals is lost with the process.
func EphemeralVault() (*Vault, error) {
	key := make([]byte, chacha20poly1305.KeySize)
	rand.Read(key)
	return newVault(key)
}

func newVault(key []byte) (*Vault, error) {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, fmt.Errorf("store: vault: %w", err)
	}
	return &Vault{aead, key}, nil
}

// Seal encrypts a secret. The context says what it is for ("user/7/token"): only the same context
// opens it, so that a sealed secret cannot be moved elsewhere.
func (v *Vault) Seal(secret []byte, context string) []byte {
	out := make([]byte, 1+v.aead.NonceSize(), 1+v.aead.NonceSize()+len(secret)+v.aead.Overhead())
	out[0] = sealVersion
	rand.Read(out[1:])
	return v.aead.Seal(out, out[1:], secret, []byte(context))
}

// MAC returns 32 bytes that nobody can tell without the state's key. Those of one purpose say nothing of another's.
func (v *Vault) MAC(purpose, text string) []byte {
	derived := hmac.New(sha256.New, v.key)
	derived.Write([]byte("mac " + purpose))
	m := hmac.New(sha256.New, derived.Sum(nil))
	m.Write([]byte(text))
	return m.Sum(nil)
}

// Open decrypts what Seal returned for the same context.
func (v *Vault) Open(sealed []byte, context string) ([]byte, error) {
	n := 1 + v.aead.NonceSize()
	if len(sealed) < n+v.aead.Overhead() || sealed[0] != sealVersion {
		return nil, fmt.Errorf("store: secret %s is %w: no sealed secret of a known version", context, ErrDamaged)
	}
	secret, err := v.aead.Open(nil, sealed[1:n], sealed[n:], []byte(context))
	if err != nil {
		return nil, fmt.Errorf("store: secret %s is %w, or was sealed for something else", context, ErrDamaged)
	}
	return secret, nil
}

// CheckMasterKey says what is wrong with a master key file. A missing one is not: OpenVault may make it.
func CheckMasterKey(file string) error {
	text, err := readPrivate(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		_, err = parseKey(file, text)
	}
	return err
}

// masterKey reads the key file; where it may, it makes a missing one.
func masterKey(file string, mayMake bool) (*Vault, error) {
	text, err := readPrivate(file)
	if errors.Is(err, fs.ErrNotExist) {
		if !mayMake {
			return nil, fmt.Errorf("store: %w: there is no master key file %s, and this state has secrets; put back the file that was made with it", ErrWrongKey, file)
		}
		text, err = makeKey(file)
	}
	if err != nil {
		return nil, err
	}
	return parseKey(file, text)
}

func parseKey(file string, text []byte) (*Vault, error) {
	encoded, ok := bytes.CutPrefix(bytes.TrimSpace(text), []byte(keyHeader))
	key, decodeErr := base64.StdEncoding.AppendDecode(nil, encoded)
	if !ok || decodeErr != nil || len(key) != chacha20poly1305.KeySize {
		return nil, fmt.Errorf("store: %w: %s is no master key file, or is damaged; put back the file that was made with this state", ErrWrongKey, file)
	}
	return newVault(key)
}

// readPrivate reads a small file that nobody else may read.
func readPrivate(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("store: master key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("store: master key file %s can be read by others (mode %04o); run: chmod 600 %s", file, info.Mode().Perm(), file)
	}
	if !info.Mode().IsRegular() || info.Size() > 4096 {
		return nil, fmt.Errorf("store: %w: %s is no master key file", ErrWrongKey, file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("store: master key: %w", diskError(err))
	}
	return text, nil
}

// makeKey writes a new master key, as a whole or not at all, and never over an old one.
func makeKey(file string) ([]byte, error) {
	key := make([]byte, chacha20poly1305.KeySize)
	rand.Read(key)
	text := []byte(keyHeader + base64.StdEncoding.EncodeToString(key) + "\n")
	fail := func(err error) ([]byte, error) {
		return nil, fmt.Errorf("store: make master key file %s: %w", file, diskError(err))
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fail(err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*") // mode 0600
	if err != nil {
		return fail(err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(text)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Link(tmp.Name(), file)
	}
	if errors.Is(err, fs.ErrExist) {
		return readPrivate(file)
	}
	if err != nil {
		return fail(err)
	}
	return text, syncDir(filepath.Dir(file))
}

// syncDir makes new names in a folder durable.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("store: sync %s: %w", path, err)
	}
	return nil
}
