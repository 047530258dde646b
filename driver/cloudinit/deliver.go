package cloudinit

import (
	"bytes"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/driver"
)

// A Target is where a plan is carried out.
type Target struct {
	// Root is the folder that stands for /, as the machine sees it: "" in a container, and the machine's own folder
	// where it has no root of its own.
	Root string
	// Dir holds what the plan needs besides, relative to Root.
	Dir string
	// Owners: files can be given to other users there.
	Owners bool
}

// Deliver returns what carries the plan out: files, relative to the root, to write before anything runs, and a
// script for /bin/sh to run before the main program at each start of the machine. Files are written first, then come
// bootcmd at each start, and at the first start scripts and runcmd. A command that fails is told on the script's
// standard error with its status, and the next one runs, as in cloud-init. The script always ends with status 0.
func (p *Plan) Deliver(to Target) (files []driver.File, script string) {
	var b strings.Builder
	b.WriteString("# made from the machine's user data\n")
	for _, w := range p.Warnings {
		b.WriteString("echo " + Quote("cloud-init: "+w) + " >&2\n")
	}
	at := func(name string) string { return Quote(path.Join(to.Root+"/", to.Dir, name)) }
	add := func(name string, mode uint32, content []byte) {
		files = append(files, driver.File{Path: path.Join(to.Dir, name), Mode: mode, Content: content})
	}
	once := &strings.Builder{}
	files = p.place(to, files, add, at, once)
	if to.Root == "" && p.Hostname != "" {
		fmt.Fprintf(&b, "hostname %s 2>/dev/null || true\n", Quote(p.Hostname))
	}
	if len(p.Boot) > 0 {
		add("bootcmd", 0o700, lines("bootcmd", p.Boot))
		told(&b, "bootcmd", "/bin/sh "+at("bootcmd"))
	}
	for n, s := range p.Scripts {
		name := fmt.Sprintf("part-%03d", n+1)
		add(name, 0o700, s)
		told(once, "script "+strconv.Itoa(n+1), at(name))
	}
	if len(p.Run) > 0 {
		add("runcmd", 0o700, lines("runcmd", p.Run))
		told(once, "runcmd", "/bin/sh "+at("runcmd"))
	}
	if once.Len() > 0 {
		add("done", 0o666, nil) // it is there from the start: who runs the script may be unable to make one
		fmt.Fprintf(&b, "if [ ! -s %s ]; then\necho yes > %s\n%sfi\n", at("done"), at("done"), once)
	}
	b.WriteString("exit 0\n")
	return files, b.String()
}

// place adds the files of write_files. What is to be appended to a file that is not among them is appended by the
// script.
func (p *Plan) place(to Target, files []driver.File, add func(string, uint32, []byte), at func(string) string, once *strings.Builder) []driver.File {
	index, own := map[string]int{}, map[int]bool{} // by path; whose content is a copy that may grow
	for n, f := range p.Files {
		name := strings.TrimPrefix(path.Clean("/"+f.Path), "/")
		full := Quote(path.Join(to.Root+"/", name))
		switch i, known := index[name]; {
		case name == "":
			fmt.Fprintf(once, "echo %s >&2\n", Quote("cloud-init: write_files["+strconv.Itoa(n)+"] is ignored: its path is a folder"))
			continue
		case known && f.Append:
			if !own[i] {
				files[i].Content, own[i] = bytes.Clone(files[i].Content), true
			}
			files[i].Content = append(files[i].Content, f.Content...)
		case known:
			files[i].Mode, files[i].Content, own[i] = f.Mode, f.Content, false
		case f.Append && to.Root == "":
			piece := fmt.Sprintf("append-%03d", n+1)
			files = append(files, driver.File{Path: path.Join(to.Dir, piece), Mode: 0o600, Content: f.Content})
			told(once, "append to "+f.Path, fmt.Sprintf("cat %s >> %s", at(piece), full))
		default:
			index[name] = len(files)
			files = append(files, driver.File{Path: name, Mode: f.Mode, Content: f.Content})
		}
		switch {
		case f.Owner != "" && to.Owners:
			told(once, "chown "+f.Path, fmt.Sprintf("chown %s %s", Quote(f.Owner), full))
		case f.Owner != "":
			fmt.Fprintf(once, "echo %s >&2\n", Quote("cloud-init: the owner "+f.Owner+" of "+f.Path+" is ignored"))
		}
	}
	return files
}

// told writes a command whose failure is told.
func told(b *strings.Builder, what, command string) {
	fmt.Fprintf(b, "%s || echo %s\"$?\" >&2\n", command, Quote("cloud-init: "+what+" ended with status "))
}

// lines makes a script of commands, each of which is told when it fails. They share variables and the folder, as in
// cloud-init.
func lines(what string, commands []Command) []byte {
	var b strings.Builder
	b.WriteString("#!/bin/sh\n")
	for n, c := range commands {
		if c.Args != nil {
			words := make([]string, len(c.Args))
			for i, a := range c.Args {
				words[i] = Quote(a)
			}
			b.WriteString(strings.Join(words, " "))
		} else {
			b.WriteString(c.Shell)
		}
		fmt.Fprintf(&b, "\n__status=$?; [ $__status -eq 0 ] || echo \"cloud-init: %s[%d] ended with status $__status\" >&2\n", what, n)
	}
	b.WriteString("exit 0\n")
	return []byte(b.String())
}

// Quote quotes a text for the shell.
func Quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
