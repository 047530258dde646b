package hurtle_test

import (
	"testing"

	"github.com/troupe-dev/troupe/client"
)

func TestLife(t *testing.T) {
	s := newStage(t)
	s.manage(client0())
	url, id := s.create(`shop.theme="dark"`)
	t.Log(url, id)
	got := s.until(url, "mcn.service.state", "provision")
	t.Log(got)
	if r := s.send("DELETE", url); r.status != 200 {
		t.Fatal(r.status, r.body)
	}
	s.eventually("the instance is gone", func() bool {
		list, err := s.client().Managers().Instances(t.Context(), "webshop")
		s.must(err)
		return len(list) == 0
	})
}

func client0() client.PutManager { return client.PutManager{} }
