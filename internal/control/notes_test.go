package control_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/store"
)

// TestNotes: a face finds its notes again, in order, and no other's; they are sealed in the store.
func TestNotes(t *testing.T) {
	s := apitest.New(t)
	c := s.Control
	var all []control.Note
	for i := range 250 { // more than a transaction holds
		all = append(all, control.Note{Key: fmt.Sprintf("a/%03d", i), Value: map[string]int{"n": i}})
	}
	if err := c.PutNotes(t.Context(), "occi", all...); err != nil {
		t.Fatal(err)
	}
	if err := c.PutNotes(t.Context(), "other", control.Note{Key: "a/000", Value: "theirs"}); err != nil {
		t.Fatal(err)
	}
	if err := c.PutNotes(t.Context(), "occi", control.Note{Key: "a/007", Value: map[string]int{"n": 70}}); err != nil {
		t.Fatal(err)
	}
	read := func() (out []int) {
		t.Helper()
		last := ""
		if err := c.Notes(t.Context(), "occi", func(key string, read func(any) error) error {
			if key <= last {
				t.Errorf("%s comes after %s", key, last)
			}
			last = key
			var v map[string]int
			err := read(&v)
			out = append(out, v["n"])
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return out
	}
	if got := read(); len(got) != 250 || got[7] != 70 || got[249] != 249 {
		t.Errorf("notes are %v", got)
	}
	kv, err := s.Store.Get(t.Context(), "face/occi/a/007")
	if err != nil || strings.Contains(string(kv.Value), "70") && strings.Contains(string(kv.Value), `"n"`) {
		t.Errorf("in the store it is %q, %v", kv.Value, err)
	}
	var keys []string
	for _, n := range all[1:] {
		keys = append(keys, n.Key)
	}
	if err := c.RemoveNotes(t.Context(), "occi", append(keys, "none")...); err != nil {
		t.Fatal(err)
	}
	if got := read(); len(got) != 1 {
		t.Errorf("notes are %v", got)
	}
	if _, err := s.Store.Get(t.Context(), "face/other/a/000"); err != nil {
		t.Errorf("the note of another face: %v", err)
	}
	err = c.PutNotes(t.Context(), "occi", control.Note{Key: "long", Value: strings.Repeat("x", 600<<10)})
	if !errors.Is(err, identity.ErrInvalid) || errors.Is(err, store.ErrClosed) {
		t.Errorf("a note that is too long: %v", err)
	}
}
