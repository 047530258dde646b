//go:build linux

package process

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"pgregory.net/rapid"

	"github.com/troupe-dev/troupe/driver"
)

func FuzzParseStat(f *testing.F) {
	line := "42 (a) b) (c) S 7 42 42 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 987654 1000 55 18446744073709551615 1 1"
	f.Add([]byte(line))
	f.Add([]byte(""))
	f.Add([]byte(")("))
	f.Add([]byte("1 () S"))
	f.Fuzz(func(t *testing.T, b []byte) { parseStat(b) })
	got, ok := parseStat([]byte(line))
	want := stat{process: process{42, 987654}, Parent: 7, State: 'S', Ticks: 100, Reaped: 70, Pages: 55}
	if !ok || got != want {
		f.Errorf("%+v, want %+v", got, want)
	}
}

func TestFileNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.OneOf(rapid.String(), rapid.StringMatching(`[./%a-z-]{0,8}`)).Draw(t, "id")
		name := fileName(id)
		if back := idOf(name); string(back) != id {
			t.Fatalf("%q becomes %q and then %q", id, name, back)
		}
		if name == "." || name == ".." || bytes.ContainsAny([]byte(name), "/\x00") {
			t.Fatalf("%q becomes %q", id, name)
		}
	})
}

// TestLogText: whatever is written in whatever pieces comes out as it was.
func TestLogText(t *testing.T) {
	dirs := 0
	base := t.TempDir()
	rapid.Check(t, func(r *rapid.T) {
		dirs++
		dir := fmt.Sprintf("%s/%d", base, dirs)
		if err := mkdir(dir); err != nil {
			r.Fatal(err)
		}
		l, err := openLog(dir, rapid.Int64Range(1, 100).Draw(r, "size"), 10000)
		if err != nil {
			r.Fatal(err)
		}
		var both, errs bytes.Buffer
		for range rapid.IntRange(0, 20).Draw(r, "writes") {
			b := []byte(rapid.StringMatching("[ab\n]{0,30}").Draw(r, "text"))
			stream := byte(output)
			if rapid.Bool().Draw(r, "error output") {
				stream = errorOutput
				errs.Write(b)
			}
			both.Write(b)
			l.write(stream, b)
		}
		l.close()
		for _, c := range []struct {
			opts driver.LogOptions
			want []byte
		}{{driver.LogOptions{}, both.Bytes()}, {driver.LogOptions{Stderr: true}, errs.Bytes()}} {
			reader := &logReader{dir: dir, stderr: c.opts.Stderr}
			if err := reader.seek(0); err != nil {
				r.Fatal(err)
			}
			got, err := io.ReadAll(reader)
			reader.Close()
			if err != nil || !bytes.Equal(got, c.want) {
				r.Fatalf("%q, %v, want %q", got, err, c.want)
			}
			n := rapid.IntRange(1, 10).Draw(r, "tail")
			reader = &logReader{dir: dir, stderr: true}
			if err := reader.seek(n); err != nil {
				r.Fatal(err)
			}
			got, err = io.ReadAll(reader)
			reader.Close()
			if err != nil || !bytes.Equal(got, lastLines(errs.Bytes(), n)) {
				r.Fatalf("last %d of %q: %q, %v", n, errs.Bytes(), got, err)
			}
		}
	})
}

// lastLines is what tail -n prints.
func lastLines(b []byte, n int) []byte {
	end := len(b)
	if end > 0 && b[end-1] == '\n' {
		end--
	}
	for i := end - 1; i >= 0; i-- {
		if b[i] == '\n' {
			if n--; n == 0 {
				return b[i+1:]
			}
		}
	}
	return b
}

// TestIntents: whatever is asked in whatever order, a run starts only when it is wanted, and no number twice.
func TestIntents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := intent{Phase: held}
		runs := 0
		alive := false
		for range 30 {
			before := in
			err := in.apply(rapid.SampledFrom(Kind().Actions).Draw(t, "action"), alive)
			if err != nil && !in.equal(&before) {
				t.Fatalf("refused, but changed: %+v to %+v", before, in)
			}
			if in.Run > before.Run+1 || in.Run < before.Run {
				t.Fatalf("run %d after %d", in.Run, before.Run)
			}
			switch {
			case in.Phase != running && in.Phase != suspended:
				alive = false
			case in.Restart:
				in.again()
				fallthrough
			case in.Run > runs:
				runs, alive = in.Run, true
			}
			if rapid.Bool().Draw(t, "dies") {
				alive = false
			}
			if alive && runs != in.Run {
				t.Fatalf("run %d lives, wanted is %d", runs, in.Run)
			}
		}
	})
}
