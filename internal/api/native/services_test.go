package native_test

import (
	"testing"

	"github.com/troupe-dev/troupe/client"
)

func TestServiceFromEndToEnd(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	made, err := s.Services().Create(ctx, client.CreateService{Document: client.Document{Source: web}, Name: "shop", Inputs: map[string]string{"COLOUR": "green"}})
	if err != nil {
		t.Fatal(err)
	}
	if made.Name != "shop" || made.Inputs["COLOUR"] != "green" || made.Inputs["PASSWORD"] != "(secret)" {
		t.Errorf("made %+v", made)
	}
	got, err := s.Services().WaitFor(ctx, "shop", "RUNNING")
	if err != nil {
		t.Fatal(err)
	}
	if got.Role("app").Settled != 2 || got.Labels["team"] != "blue" || got.Owner.Name != "oneadmin" {
		t.Errorf("got %+v", got)
	}
	if _, err := s.Services().Scale(ctx, "shop", client.Scale{Role: "app", Cardinality: "+50%"}); err != nil {
		t.Fatal(err)
	}
	if got, err = s.Services().WaitFor(ctx, "shop", "RUNNING"); err != nil || got.Role("app").Cardinality != 3 {
		t.Errorf("scaled: %+v, %v", got, err)
	}
	if _, err := s.Services().Remove(ctx, "shop", client.Undeploy{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Services().WaitFor(ctx, got.Ref(), client.Gone); err != nil {
		t.Fatal(err)
	}
	if n := s.Cloud.Len(); n != 0 {
		t.Errorf("%d machines left", n)
	}
}
