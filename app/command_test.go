package app

import (
	"strings"
	"testing"
)

func TestTemplateCommands(t *testing.T) {
	o := options(t.TempDir())
	o.TemplateCommands = true
	a, _ := serve(t, o)
	awaitReady(t, a)
	run := a.commands()
	for command, want := range map[string]string{
		"echo  one   two": "one two", "printf a\\n\\n": "a", "false": commandFailed, "": commandFailed, "/nowhere/at/all": commandFailed, "cat /dev/zero": commandFailed,
	} {
		if got, err := run(t.Context(), 0, command); got != want || err != nil {
			t.Errorf("%q: %.80q, %v; want %q", command, got, err, want)
		}
	}
	if got, err := run(t.Context(), 77, "echo x"); err == nil || strings.Contains(got, "x") {
		t.Errorf("somebody unknown: %q, %v", got, err)
	}
	o = options(t.TempDir())
	b, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if b.commands() != nil {
		t.Error("templates run commands unasked")
	}
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
}
