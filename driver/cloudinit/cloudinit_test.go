package cloudinit

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/troupe-dev/troupe/driver"
)

func zipped(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const sample = `#cloud-config
hostname: web
packages: [nginx]
users:
- name: x
write_files:
- path: /etc/a.conf
  content: |
    one
  permissions: '0600'
  owner: root:root
- {path: /etc/b, encoding: b64, content: aGVsbG8=, permissions: 0755}
- {path: /etc/a.conf, append: true, content: two}
- {path: /etc/c, encoding: gz+b64, content: GZ}
- content: lost
bootcmd:
- echo boot
runcmd:
- echo 'run' | cat
- [echo, "a b", 3]
- {not: a command}
-
`

func TestRead(t *testing.T) {
	text := strings.ReplaceAll(sample, "GZ", base64.StdEncoding.EncodeToString(zipped(t, "zip")))
	want := &Plan{
		Hostname: "web",
		Files: []File{
			{Path: "/etc/a.conf", Mode: 0o600, Owner: "root:root", Content: []byte("one\n")},
			{Path: "/etc/b", Mode: 0o755, Content: []byte("hello")},
			{Path: "/etc/a.conf", Mode: 0o644, Append: true, Content: []byte("two")},
			{Path: "/etc/c", Mode: 0o644, Content: []byte("zip")},
		},
		Boot: []Command{{Shell: "echo boot"}},
		Run:  []Command{{Shell: "echo 'run' | cat"}, {Args: []string{"echo", "a b", "3"}}},
		Warnings: []string{
			"packages is ignored", "runcmd[2] is ignored: it is neither text nor a list", "users is ignored", "write_files[4] is ignored: it has no path",
		},
	}
	archive, err := Archive(Part{Content: []byte(text)}, Part{Name: "s.sh", Content: []byte("#!/bin/sh\necho hi\n")}, Part{Content: []byte("#include\nhttp://x/\n")})
	if err != nil {
		t.Fatal(err)
	}
	several := *want
	several.Scripts = [][]byte{[]byte("#!/bin/sh\necho hi\n")}
	several.Warnings = append(append([]string{}, want.Warnings...), "a part of the type text/x-include-url is ignored")
	for name, c := range map[string]struct {
		data []byte
		want *Plan
	}{
		"plain":          {[]byte(text), want},
		"gzip":           {zipped(t, text), want},
		"archive":        {archive, &several},
		"gzip archive":   {zipped(t, string(archive)), &several},
		"script":         {[]byte("#!/bin/bash\nx\n"), &Plan{Scripts: [][]byte{[]byte("#!/bin/bash\nx\n")}}},
		"boothook":       {[]byte("#cloud-boothook\necho x\n"), &Plan{Boot: []Command{{Shell: "echo x\n"}}}},
		"include":        {[]byte("#include\nhttp://x/"), &Plan{Warnings: []string{"a part of the type text/x-include-url is ignored"}}},
		"part handler":   {[]byte("#part-handler\n"), &Plan{Warnings: []string{"a part of the type text/part-handler is ignored"}}},
		"nothing":        {nil, &Plan{}},
		"empty config":   {[]byte("#cloud-config\n"), &Plan{}},
		"other text":     {[]byte("hello: world\n"), &Plan{Warnings: []string{`user data that begins with "hello: world\n" is of no known kind and ignored`}}},
		"no list":        {[]byte("#cloud-config\nruncmd: x\n"), &Plan{Warnings: []string{"runcmd is ignored: it is no list"}}},
		"wrong mode":     {[]byte("#cloud-config\nwrite_files: [{path: a, permissions: rw}]\n"), &Plan{Files: []File{{Path: "a", Mode: 0o644, Content: []byte{}}}, Warnings: []string{"the permissions of write_files[0] are no octal number; 0644 is taken"}}},
		"later replaces": {mustArchive(t, "#cloud-config\nruncmd: [a]\n", "#cloud-config\nruncmd: [b]\n"), &Plan{Run: []Command{{Shell: "b"}}, Warnings: []string{"runcmd of an earlier part is replaced"}}},
	} {
		got, err := Read(c.data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(c.want, got, cmpopts.IgnoreUnexported(Plan{})); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
		if got.Empty() != (name == "nothing" || name == "empty config") {
			t.Errorf("%s: empty %v", name, got.Empty())
		}
	}
}

func mustArchive(t *testing.T, texts ...string) []byte {
	t.Helper()
	var parts []Part
	for _, s := range texts {
		parts = append(parts, Part{Content: []byte(s)})
	}
	archive, err := Archive(parts...)
	if err != nil {
		t.Fatal(err)
	}
	return archive
}

// An archive as other tools make it: nested, quoted-printable, lines that end with \n alone.
func TestReadForeignArchive(t *testing.T) {
	const text = "From nobody Thu Jan  1 00:00:00 1970\nContent-Type: multipart/mixed; boundary=\"AAA\"\nMIME-Version: 1.0\n\n--AAA\nContent-Type: multipart/mixed; boundary=\"BBB\"\n\n" +
		"--BBB\nContent-Type: text/cloud-config\nContent-Transfer-Encoding: quoted-printable\n\n#cloud-config\nruncmd: [\"echo =3D\"]\n--BBB--\n--AAA\nContent-Type: text/x-shellscript\n\n#!/bin/sh\necho\n--AAA--\n"
	for _, s := range []string{text[strings.Index(text, "\n")+1:], strings.ReplaceAll(text[strings.Index(text, "\n")+1:], "\n", "\r\n")} {
		p, err := Read([]byte(s))
		if err != nil || len(p.Run) != 1 || p.Run[0].Shell != "echo =" || len(p.Scripts) != 1 || len(p.Warnings) > 0 {
			t.Errorf("%+v, %v", p, err)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	for name, data := range map[string][]byte{
		"yaml":       []byte("#cloud-config\na: [\n"),
		"a list":     []byte("#cloud-config\n- a\n"),
		"deep":       []byte("#cloud-config\na: " + strings.Repeat("[", 100_000)),
		"dashes":     []byte("#cloud-config\n" + strings.Repeat("- ", 100_000)),
		"base64":     []byte("#cloud-config\nwrite_files: [{path: a, encoding: b64, content: '%%%'}]\n"),
		"gzip":       {0x1f, 0x8b, 1, 2},
		"large":      bytes.Repeat([]byte("x"), MaxSize+1),
		"zip bomb":   zipped(t, strings.Repeat("x", MaxSize+1)),
		"boundary":   []byte("Content-Type: multipart/mixed\n\nx\n"),
		"cut short":  []byte("Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: text/plain\n\nx"),
		"zip in zip": zipped(t, string(zipped(t, string(zipped(t, string(zipped(t, string(zipped(t, string(zipped(t, "x"))))))))))),
	} {
		if p, err := Read(data); err == nil || !errors.Is(err, driver.ErrInvalid) || !strings.HasPrefix(err.Error(), "user data: ") {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

// What Deliver returns does what the plan says when a shell runs it, at the first and at a later start.
func TestDeliver(t *testing.T) {
	dir := t.TempDir()
	p, err := Read(mustArchive(t, `#cloud-config
growpart: {}
write_files:
- {path: /etc/a, content: one, owner: root}
- {path: /etc/a, append: true, content: two}
- {path: ../../escape, content: x, permissions: '0755'}
bootcmd: ["echo boot"]
runcmd:
- X=shared
- echo "run $X"
- [echo, "it's", $X]
- exit_with() { return 3; }; exit_with
- "false"
- echo last
- exit 7
- echo never
`, "#!/bin/sh\necho script; exit 5\n"))
	if err != nil {
		t.Fatal(err)
	}
	files, script := p.Deliver(Target{Root: dir, Dir: ".user-data"})
	for _, f := range files {
		name := filepath.Join(dir, f.Path)
		if !filepath.IsLocal(f.Path) {
			t.Errorf("%s leaves the root", f.Path)
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, f.Content, os.FileMode(f.Mode))); err != nil {
			t.Fatal(err)
		}
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "etc/a")); string(b) != "onetwo" {
		t.Errorf("etc/a holds %q", b)
	}
	if _, err := os.Stat(filepath.Join(dir, "escape")); err != nil {
		t.Error(err)
	}
	start := func() (out, complaints string) {
		var o, e bytes.Buffer
		cmd := exec.Command("/bin/sh", "-c", script)
		cmd.Stdout, cmd.Stderr = &o, &e
		if err := cmd.Run(); err != nil {
			t.Error(err)
		}
		return o.String(), e.String()
	}
	out, complaints := start()
	if want := "boot\nscript\nrun shared\nit's $X\nlast\n"; out != want {
		t.Errorf("it printed %q, want %q", out, want)
	}
	want := "cloud-init: growpart is ignored\ncloud-init: the owner root of /etc/a is ignored\ncloud-init: script 1 ended with status 5\n" +
		"cloud-init: runcmd[3] ended with status 3\ncloud-init: runcmd[4] ended with status 1\ncloud-init: runcmd ended with status 7\n"
	if complaints != want {
		t.Errorf("it complained\n%swant\n%s", complaints, want)
	}
	if out, complaints = start(); out != "boot\n" || complaints != "cloud-init: growpart is ignored\n" {
		t.Errorf("the second start printed %q and %q", out, complaints)
	}
}

// In a container files belong to users and may be appended to what the image has.
func TestDeliverToContainer(t *testing.T) {
	p := &Plan{Files: []File{{Path: "/etc/hosts", Append: true, Content: []byte("x")}, {Path: "/srv/x", Owner: "app:app", Mode: 0o600}, {Path: "/"}}}
	files, script := p.Deliver(Target{Dir: "run/user-data", Owners: true})
	if len(files) != 3 || files[0].Path != "run/user-data/append-001" || files[1].Path != "srv/x" || files[2].Path != "run/user-data/done" {
		t.Errorf("%+v", files)
	}
	for _, want := range []string{"cat '/run/user-data/append-001' >> '/etc/hosts' ||", "chown 'app:app' '/srv/x' ||", "if [ ! -s '/run/user-data/done' ]", "its path is a folder"} {
		if !strings.Contains(script, want) {
			t.Errorf("%q is not in\n%s", want, script)
		}
	}
}

func TestFit(t *testing.T) {
	short, long := []byte("#!/bin/sh\n"), []byte("#cloud-config\n"+strings.Repeat("# comment\n", 5000)+"runcmd: [a]\n")
	if got, err := Fit(short, EC2Limit); err != nil || !bytes.Equal(got, short) {
		t.Errorf("%q, %v", got, err)
	}
	got, err := Fit(long, EC2Limit)
	if err != nil || len(got) > EC2Limit {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if p, err := Read(got); err != nil || len(p.Run) != 1 {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := Fit(long, 20); !errors.Is(err, driver.ErrInvalid) {
		t.Error(err)
	}
}

func TestSeed(t *testing.T) {
	s, err := NewSeed("7-3-1", "it's: me", nil, []byte(" \n"))
	if err != nil || s.NetworkConfig != nil || string(s.UserData) != "#cloud-config\n{}\n" {
		t.Errorf("%+v, %v", s, err)
	}
	if want := "instance-id: 7-3-1\nlocal-hostname: 'it''s: me'\n"; string(s.MetaData) != want && string(s.MetaData) != "instance-id: 7-3-1\nlocal-hostname: \"it's: me\"\n" {
		t.Errorf("%s", s.MetaData)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(sample))
	f.Add(zipped(f, sample))
	f.Add([]byte("Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: text/x-shellscript\nContent-Transfer-Encoding: base64\n\nIyEvYmluL3No\n--a--\n"))
	f.Add([]byte("#!/bin/sh\nx"))
	f.Add([]byte("#cloud-config\nwrite_files: [{path: ../../x, append: true}, {path: /}]\nbootcmd: [[a, 'b'], 1]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Read(data)
		if err != nil {
			if !errors.Is(err, driver.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		for _, to := range []Target{{Root: "/machine", Dir: ".user-data"}, {Dir: "run", Owners: true}} {
			files, script := p.Deliver(to)
			size := len(script)
			for _, file := range files {
				if size += len(file.Content); !filepath.IsLocal(file.Path) || file.Mode&^0o777 != 0 {
					t.Fatalf("file %q, mode %o", file.Path, file.Mode)
				}
			}
			if size > 20*MaxSize {
				t.Fatalf("%d bytes of %d", size, len(data))
			}
		}
	})
}
