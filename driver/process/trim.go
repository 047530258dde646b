//go:build linux

package process

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// trim gives back the memory that the start took. The supervisor is a part of a large program, of which it touched
// much while its packages were initialised and needs little afterwards. Pages of the program's file are dropped, and
// come back from the file when they are used again. That holds only for mappings that cannot be written and of which no
// page was changed before they were protected, as the linker does: those of which the kernel counts nothing as anonymous.
func trim() {
	debug.FreeOSMemory()
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer f.Close()
	var from, to uintptr
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) >= 5 && !strings.HasSuffix(fields[0], ":"): // a mapping begins
			from, to = 0, 0
			protection := fields[1]
			if len(fields) >= 6 && protection[1] == '-' && protection[3] == 'p' && fields[5][0] == '/' {
				fmt.Sscanf(fields[0], "%x-%x", &from, &to)
			}
		case len(fields) == 3 && fields[0] == "Anonymous:" && fields[1] == "0" && to > from:
			syscall.RawSyscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED)
		}
	}
}
