package telemetry

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/cespare/xxhash/v2"

	"github.com/troupe-dev/troupe/internal/metric"
)

// A metaLog keeps what Monasca calls value_meta, which the database of samples has no room for. Few samples bear it, so
// it is all in memory, and in two append-only files of half the size that it may have: when the newer is full, the older
// goes, with what it held.
type metaLog struct {
	dir   string
	limit int64 // of one file
	mu    sync.RWMutex
	now   *metaFile
	last  *metaFile // nil until the first file is full
}

type metaFile struct {
	path string
	f    *os.File
	size int64
	held map[uint64][]metaAt // by seriesKey, sorted by time
}

type metaAt struct {
	time int64
	json string
}

// seriesKey tells series apart in the log.
func seriesKey(s *metric.Series) uint64 {
	var b Batch
	return b.sum(xxhash.Sum64String(fmt.Sprint(s.Tenant)), s.Name, s.Dimensions)
}

func openMetaLog(dir string, limit int64) (*metaLog, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	m := &metaLog{dir: dir, limit: max(limit/2, 64<<10)}
	var err error
	if m.last, err = readMetaFile(filepath.Join(dir, "older")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if m.now, err = readMetaFile(filepath.Join(dir, "newer")); errors.Is(err, fs.ErrNotExist) {
		m.now, err = newMetaFile(filepath.Join(dir, "newer"))
	}
	return m, err
}

func newMetaFile(path string) (*metaFile, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	return &metaFile{path: path, f: f, held: make(map[uint64][]metaAt)}, err
}

// A record is its length and checksum, 4 bytes each, then the key and the time, 8 bytes each, then the JSON.
const (
	metaHead = 8
	metaMost = 16 + 4*metric.MaxMetaBytes
)

// readMetaFile reads up to the first record that is not whole, and cuts the rest off.
func readMetaFile(path string) (*metaFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	m := &metaFile{path: path, f: f, held: make(map[uint64][]metaAt)}
	r := bufio.NewReaderSize(f, 1<<20)
	var head [metaHead]byte
	body := make([]byte, metaMost)
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			break
		}
		n := binary.LittleEndian.Uint32(head[:])
		if n < 16 || n > metaMost {
			break
		}
		if _, err := io.ReadFull(r, body[:n]); err != nil || crc32.ChecksumIEEE(body[:n]) != binary.LittleEndian.Uint32(head[4:]) {
			break
		}
		m.hold(binary.LittleEndian.Uint64(body), metaAt{int64(binary.LittleEndian.Uint64(body[8:])), string(body[16:n])})
		m.size += int64(metaHead + n)
	}
	if err := f.Truncate(m.size); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return m, nil
}

func (m *metaFile) hold(key uint64, x metaAt) {
	list := m.held[key]
	at, found := slices.BinarySearchFunc(list, x.time, func(a metaAt, t int64) int { return cmp.Compare(a.time, t) })
	if !found {
		m.held[key] = slices.Insert(list, at, x)
	}
}

func (m *metaLog) add(key uint64, time int64, meta map[string]string) error {
	text, err := json.Marshal(meta)
	if err != nil {
		return err
	}
	if len(text)+16 > metaMost {
		return fmt.Errorf("value_meta has %d bytes, %d may be", len(text), metaMost-16)
	}
	return m.put(key, time, string(text))
}

// put adds the JSON of one sample.
func (m *metaLog) put(key uint64, time int64, text string) error {
	record := make([]byte, metaHead+16, metaHead+16+len(text))
	binary.LittleEndian.PutUint64(record[metaHead:], key)
	binary.LittleEndian.PutUint64(record[metaHead+8:], uint64(time))
	record = append(record, text...)
	binary.LittleEndian.PutUint32(record, uint32(len(record)-metaHead))
	binary.LittleEndian.PutUint32(record[4:], crc32.ChecksumIEEE(record[metaHead:]))

	m.mu.Lock()
	defer m.mu.Unlock()
	if m.now.size+int64(len(record)) > m.limit {
		if err := m.turn(); err != nil {
			return err
		}
	}
	if _, err := m.now.f.WriteAt(record, m.now.size); err != nil {
		return err // the next record is written over what came of this one
	}
	m.now.size += int64(len(record))
	m.now.hold(key, metaAt{time, text})
	return nil
}

// turn makes the newer file the older one.
func (m *metaLog) turn() error {
	older := filepath.Join(m.dir, "older")
	if m.last != nil {
		_ = m.last.f.Close() // its file is about to be gone
		m.last = nil
	}
	if err := os.Rename(m.now.path, older); err != nil {
		return err
	}
	fresh, err := newMetaFile(m.now.path)
	if err != nil {
		return errors.Join(err, os.Rename(older, m.now.path))
	}
	m.now.path, m.last, m.now = older, m.now, fresh
	return nil
}

// join adds what another log holds, which nobody has open.
func (m *metaLog) join(dir string) error {
	for _, name := range []string{"older", "newer"} {
		other, err := readMetaFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for key, list := range other.held {
			for _, x := range list {
				err = errors.Join(err, m.put(key, x.time, x.json))
			}
		}
		if err = errors.Join(err, other.f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// get returns the meta of one sample, or nil.
func (m *metaLog) get(key uint64, time int64) map[string]string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, file := range []*metaFile{m.now, m.last} {
		if file == nil {
			continue
		}
		list := file.held[key]
		at, found := slices.BinarySearchFunc(list, time, func(a metaAt, t int64) int { return cmp.Compare(a.time, t) })
		if !found {
			continue
		}
		var out map[string]string
		if json.Unmarshal([]byte(list[at].json), &out) == nil {
			return out
		}
	}
	return nil
}

func (m *metaLog) size() int64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n := m.now.size
	if m.last != nil {
		n += m.last.size
	}
	return n
}

func (m *metaLog) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.now.f.Close()
	if m.last != nil {
		err = errors.Join(err, m.last.f.Close())
	}
	return err
}
