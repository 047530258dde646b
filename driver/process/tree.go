//go:build linux

package process

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// A stat is what /proc/PID/stat tells of a process.
type stat struct {
	process
	Parent int
	State  byte
	Ticks  uint64 // CPU time used, its reaped children's included, in clock ticks
	Reaped uint64 // the part of Ticks that its reaped children used
	Pages  int64  // resident memory
}

// dead reports whether only the entry in the process table is left.
func (s *stat) dead() bool { return s.State == 'Z' || s.State == 'X' }

func readStat(pid int) (stat, bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}, false
	}
	return parseStat(b)
}

// parseStat reads a line of proc(5)'s stat. The second field, the name, may hold anything, so fields
// are counted from its last parenthesis.
func parseStat(b []byte) (stat, bool) {
	open, shut := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || shut < open {
		return stat{}, false
	}
	f := strings.Fields(string(b[shut+1:]))
	if len(f) < 22 || len(f[0]) != 1 {
		return stat{}, false
	}
	var s stat
	var fault error
	number := func(text string) int64 {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			fault = err
		}
		return n
	}
	s.PID = int(number(strings.TrimSpace(string(b[:open]))))
	s.State = f[0][0]
	s.Parent = int(number(f[1]))
	s.Reaped = uint64(number(f[13]) + number(f[14]))
	s.Ticks = uint64(number(f[11])+number(f[12])) + s.Reaped
	s.Start = uint64(number(f[19]))
	s.Pages = number(f[21])
	return s, fault == nil
}

// alive reports whether the very process that p names still runs.
func (p process) alive() bool {
	if p.PID == 0 {
		return false
	}
	s, ok := readStat(p.PID)
	return ok && s.Start == p.Start && !s.dead()
}

// dead reports whether the very process that p names has ended and nobody has collected it.
func (p process) dead() bool {
	s, ok := readStat(p.PID)
	return ok && s.Start == p.Start && s.dead()
}

// signal sends sig to the very process that p names, never to another with its id.
func (p process) signal(sig unix.Signal) error {
	if p.PID == 0 {
		return unix.ESRCH
	}
	fd, err := unix.PidfdOpen(p.PID, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if s, ok := readStat(p.PID); !ok || s.Start != p.Start {
		return unix.ESRCH
	}
	return unix.PidfdSendSignal(fd, sig, nil, 0)
}

// table reads the whole process table, by process id.
func table() map[int]stat {
	all := map[int]stat{}
	for _, pid := range pids() {
		if s, ok := readStat(pid); ok {
			all[pid] = s
		}
	}
	return all
}

func pids() []int {
	d, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	list := make([]int, 0, len(names))
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			list = append(list, pid)
		}
	}
	return list
}

// listsChildren reports whether this kernel tells a process's children directly.
var listsChildren = sync.OnceValue(func() bool {
	_, err := os.Stat(fmt.Sprintf("/proc/%d/task/%[1]d/children", os.Getpid()))
	return err == nil
})

// descendants returns the processes below pid, parents first. What forks meanwhile may be missing:
// callers that must have all of them ask until nothing new appears.
func descendants(pid int) []process {
	next := children
	if !listsChildren() {
		below := map[int][]int{}
		for _, s := range table() {
			below[s.Parent] = append(below[s.Parent], s.PID)
		}
		next = func(pid int) []int { return below[pid] }
	}
	parents := map[int]bool{pid: true}
	var list []process
	for _, p := range walk(pid, next) {
		// An id that was used again since it was listed has another parent.
		if s, ok := readStat(p); ok && parents[s.Parent] {
			parents[p] = true
			list = append(list, s.process)
		}
	}
	return list
}

func walk(pid int, children func(int) []int) []int {
	var list []int
	for next := children(pid); len(next) > 0; next = next[1:] {
		list = append(list, next[0])
		next = append(next, children(next[0])...)
	}
	return list
}

func children(pid int) []int {
	dir := "/proc/" + strconv.Itoa(pid) + "/task/"
	tasks, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var list []int
	for _, t := range tasks {
		b, _ := os.ReadFile(dir + t.Name() + "/children")
		for f := range strings.FieldsSeq(string(b)) {
			if child, err := strconv.Atoi(f); err == nil {
				list = append(list, child)
			}
		}
	}
	return list
}

// freeze stops every process below pid, until none is left that could start another.
func freeze(pid int) {
	seen := map[process]bool{}
	for found := true; found; {
		found = false
		for _, p := range descendants(pid) {
			if !seen[p] {
				seen[p], found = true, true
				p.signal(unix.SIGSTOP)
			}
		}
	}
}

// signalAll sends sig to every process below pid.
func signalAll(pid int, sig unix.Signal) {
	for _, p := range descendants(pid) {
		p.signal(sig)
	}
}

// tagged returns the live processes that carry every one of the given NAME=value pairs in their
// environment, and their descendants.
func tagged(pairs ...string) []int {
	all := table()
	below := map[int][]int{}
	for _, s := range all {
		below[s.Parent] = append(below[s.Parent], s.PID)
	}
	seen := map[int]bool{os.Getpid(): true, 1: true}
	var list []int
	add := func(pid int) {
		if s := all[pid]; !seen[pid] && !s.dead() {
			seen[pid] = true
			list = append(list, pid)
		}
	}
	for pid := range all {
		if !carries(pid, pairs) {
			continue
		}
		add(pid)
		for _, p := range walk(pid, func(pid int) []int { return below[pid] }) {
			add(p)
		}
	}
	return list
}

func carries(pid int, pairs []string) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return false
	}
	b = append([]byte{0}, append(b, 0)...)
	for _, pair := range pairs {
		if !bytes.Contains(b, []byte("\x00"+pair+"\x00")) {
			return false
		}
	}
	return true
}

// bootID names the time since this host was started: process ids and start times mean nothing beyond it.
var bootID = sync.OnceValue(func() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
})
