package native_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/client"
)

const keeper = `
name: db
roles:
  db: {count: 2, identity: stable, machine: {driver: sim}}
`

// What stable instances keep can be seen and removed when their service is gone.
func TestKeptData(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	ann := s.user("ann", "")
	db := s.up(s.Client, keeper)
	if kept, err := s.Data().List(ctx); err != nil || len(kept) != 0 {
		t.Fatalf("kept of a service that is there: %+v, %v", kept, err)
	}
	if err := s.Data().Remove(ctx, "db"); !client.IsNotFound(err) {
		t.Errorf("removal of the data of a service that is there: %v", err)
	}
	s.must(s.Services().Remove(ctx, "db", client.Undeploy{}))
	s.UntilGone(db.ID)
	kept, err := s.Data().List(ctx)
	if err != nil || len(kept) != 1 || kept[0].Service != db.ID || kept[0].Name != "db" || kept[0].Removed.IsZero() {
		t.Fatalf("kept: %+v, %v", kept, err)
	}
	if r := kept[0].Roles; len(r) != 1 || r[0].Role != "db" || !slices.Equal(r[0].Names, s.Cloud.Data()) || !slices.Equal(r[0].Backends, []string{"sim"}) {
		t.Errorf("kept is said to be %+v; there is %v", r, s.Cloud.Data())
	}
	if theirs, err := ann.Data().List(ctx); err != nil || len(theirs) != 0 {
		t.Errorf("a stranger sees %+v, %v", theirs, err)
	}
	if err := ann.Data().Remove(ctx, client.ID(db.ID)); !client.IsNotFound(err) {
		t.Errorf("a stranger removes it: %v", err)
	}
	s.Cloud.Outage(true)
	if err := s.Data().Remove(ctx, "db"); err == nil || client.IsNotFound(err) {
		t.Errorf("with the back end down: %v", err)
	}
	s.Cloud.Outage(false)
	if kept, err := s.Data().List(ctx); err != nil || len(kept) != 1 {
		t.Errorf("after a removal that failed: %+v, %v", kept, err)
	}
	if err := s.Data().Remove(ctx, "db"); err != nil {
		t.Fatal(err)
	}
	if left := s.Cloud.Data(); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
	if kept, err := s.Data().List(ctx); err != nil || len(kept) != 0 {
		t.Errorf("after its removal: %+v, %v", kept, err)
	}

	// What a role that has left, and one that is stable no more, have kept goes with the rest.
	db = s.up(s.Client, keeper+"  old: {count: 1, identity: stable, machine: {driver: sim}}\n")
	s.must(s.Services().RemoveRole(ctx, "db", "old"))
	s.settled("db")
	s.must(s.Services().Update(ctx, "db", client.UpdateService{Document: client.Document{Source: strings.Replace(keeper, "stable", "new", 1)}}))
	s.settled("db")
	if n := len(s.Cloud.Data()); n != 3 {
		t.Fatalf("%d pieces of data, want 3", n)
	}
	s.must(s.Services().Remove(ctx, "db", client.Undeploy{Data: true}))
	s.UntilGone(db.ID)
	if left := s.Cloud.Data(); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
}
