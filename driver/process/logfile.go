//go:build linux

package process

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// The log of a machine is a folder of numbered files; the one with the highest number grows. Each line
// starts with a letter that says where it came from: o for output, e for error output; in upper case when the
// program had not ended the line yet, and then the line break that follows is not the program's.
const (
	output      = 'o'
	errorOutput = 'e'
)

// A logFile writes both streams of a machine to its log.
type logFile struct {
	dir   string
	size  int64
	count int

	mu      sync.Mutex
	file    *os.File
	number  int
	written int64
}

func openLog(dir string, size int64, count int) (*logFile, error) {
	l := &logFile{dir: dir, size: size, count: count, number: 1}
	if all := logNumbers(dir); len(all) > 0 {
		l.number = all[len(all)-1]
	}
	return l, l.open()
}

func (l *logFile) open() error {
	f, err := os.OpenFile(logName(l.dir, l.number), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if fi, err := f.Stat(); err == nil {
		l.written = fi.Size()
	}
	l.file = f
	return nil
}

// write adds what one stream said. A disk that is full loses output; it does not stop the machine.
func (l *logFile) write(stream byte, b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines bytes.Buffer
	for len(b) > 0 {
		line, rest, ended := bytes.Cut(b, []byte("\n"))
		tag := stream
		if !ended {
			tag -= 'a' - 'A'
		}
		lines.WriteByte(tag)
		lines.Write(line)
		lines.WriteByte('\n')
		b = rest
	}
	if l.written > 0 && l.written+int64(lines.Len()) > l.size {
		l.rotate()
	}
	n, _ := l.file.Write(lines.Bytes())
	l.written += int64(n)
}

func (l *logFile) rotate() {
	before := l.file
	l.number++
	if l.open() != nil {
		l.number--
		return
	}
	before.Close()
	all := logNumbers(l.dir)
	for len(all) > l.count {
		os.Remove(logName(l.dir, all[0]))
		all = all[1:]
	}
}

func (l *logFile) close() { l.file.Close() }

func logName(dir string, number int) string { return filepath.Join(dir, fmt.Sprintf("%08d", number)) }

// logNumbers returns the numbers of the log's files, oldest first.
func logNumbers(dir string) []int {
	entries, _ := os.ReadDir(dir)
	var all []int
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return all
}

// A recorder copies the two streams of a run to the log, in the order in which they arrive. What a program writes to
// both faster than it is read cannot be put in order again: two pipes do not tell.
type recorder struct {
	log     *logFile
	readers [2]*os.File
	writers [2]*os.File // the ends that the machine's processes get
	done    sync.WaitGroup
}

func newRecorder(log *logFile) (*recorder, error) {
	r := &recorder{log: log}
	for i, stream := range []byte{output, errorOutput} {
		var err error
		if r.readers[i], r.writers[i], err = os.Pipe(); err != nil {
			return nil, err
		}
		// The program gets the pipe as programs expect it: writing blocks.
		if err := syscall.SetNonblock(int(r.writers[i].Fd()), false); err != nil {
			return nil, err
		}
		r.done.Go(func() {
			buf := make([]byte, 16<<10)
			for {
				n, err := r.readers[i].Read(buf)
				log.write(stream, buf[:n])
				if err != nil {
					return
				}
			}
		})
	}
	return r, nil
}

// finish records what is still in the pipes, once no process of the machine is left. Only a stranger who was
// handed the pipe can keep it open, and is not waited for.
func (r *recorder) finish() {
	for i := range r.writers {
		r.writers[i].Close()
		r.readers[i].SetReadDeadline(time.Now().Add(time.Second))
	}
	r.done.Wait()
	for i := range r.readers {
		r.readers[i].Close()
	}
	r.log.close()
}
