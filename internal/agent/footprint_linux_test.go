package agent

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestCleanMappings(t *testing.T) {
	got := cleanMappings([]byte(`00400000-00401000 r-xp 00000000 fe:00 42    /opt/my troupe
Size:                  4 kB
Anonymous:             0 kB
00500000-00502000 r--p 00000000 fe:00 42    /opt/troupe
Anonymous:             8 kB
00600000-00601000 rw-p 00000000 fe:00 42    /opt/troupe
Anonymous:             0 kB
00700000-00701000 r--p 00000000 00:00 0     [vvar]
Anonymous:             0 kB
00800000-00801000 rw-p 00000000 00:00 0
Anonymous:             4 kB
7f0000000000-7f0000003000 r-xp 00000000 fe:00 7 /lib/libc.so.6
Anonymous:             0 kB
`))
	if want := []mapping{{0x400000, 0x1000}, {0x7f0000000000, 0x3000}}; !slices.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
}

// Giving pages back makes the program smaller, and leaves it as it is.
func TestShed(t *testing.T) {
	if _, err := os.Stat("/proc/self/smaps"); err != nil {
		t.Skip("no smaps here")
	}
	before := fileBacked(t)
	shed()
	if after := fileBacked(t); after >= before {
		t.Errorf("%d kB of files were resident, now %d kB", before, after)
	}
}

// fileBacked returns how much of this program's memory comes from files, in kB.
func fileBacked(t *testing.T) (kB int) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "RssFile:")
	if _, err := fmt.Sscan(rest, &kB); err != nil {
		t.Skip("the kernel does not tell: ", err)
	}
	return kB
}
