package agent

import (
	"bytes"
	"os"
	"runtime/debug"
	"strconv"

	"golang.org/x/sys/unix"
)

// slim makes this process small. The program holds far more than an agent needs: the heap grows little between collections, and
// shed gives back what only the start has touched.
func slim() {
	debug.SetGCPercent(25)
	debug.SetMemoryLimit(16 << 20)
}

// shed gives back memory. Pages of the program that are wanted again come from its file, so only what is the same as in the file is
// dropped; what is used at each report is back after the next.
func shed() {
	debug.FreeOSMemory()
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return
	}
	for _, m := range cleanMappings(maps) {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.start, m.length, unix.MADV_DONTNEED)
	}
}

type mapping struct{ start, length uintptr }

// cleanMappings returns the mappings of files, out of the text of smaps, that are what their files hold and stay so: they cannot be
// written, and no page of them is a copy of its own, as relocated ones are.
func cleanMappings(smaps []byte) []mapping {
	var out []mapping
	var current mapping
	for line := range bytes.Lines(smaps) {
		fields := bytes.Fields(line)
		switch {
		case len(fields) == 3 && string(fields[0]) == "Anonymous:":
			if current.length > 0 && string(fields[1]) == "0" {
				out = append(out, current)
			}
			current = mapping{}
		case len(fields) >= 6 && len(fields[1]) == 4 && fields[1][1] == '-' && fields[5][0] == '/':
			from, to, _ := bytes.Cut(fields[0], []byte("-"))
			start, err1 := strconv.ParseUint(string(from), 16, 64)
			end, err2 := strconv.ParseUint(string(to), 16, 64)
			current = mapping{}
			if err1 == nil && err2 == nil && end > start {
				current = mapping{uintptr(start), uintptr(end - start)}
			}
		}
	}
	return out
}
