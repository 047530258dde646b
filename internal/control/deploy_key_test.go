package control_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/store"
)

func TestKeyHoldsForADay(t *testing.T) {
	s := apitest.New(t)
	deploy := func(body string) (uint64, error) {
		return s.Control.Deploy(t.Context(), s.Root(), control.Deployment{Spec: simple("web", 1), Key: "k", Body: []byte(body)})
	}
	first, err := deploy("a")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := deploy("a"); err != nil || again != first {
		t.Errorf("a repetition made %d, %v; want %d", again, err, first)
	}
	if _, err := deploy("b"); !errors.Is(err, control.ErrKeyReused) {
		t.Errorf("another request with the key: %v", err)
	}
	// A day later.
	key := fmt.Sprintf("key/%d/k", s.Root().User)
	kv, err := s.Store.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	var r map[string]any
	if err := json.Unmarshal(kv.Value, &r); err != nil {
		t.Fatal(err)
	}
	r["made"] = time.Now().Add(-24*time.Hour - time.Second)
	text, _ := json.Marshal(r)
	if _, err := s.Store.Commit(t.Context(), store.Txn{Puts: []store.Put{{Key: key, Value: text}}}); err != nil {
		t.Fatal(err)
	}
	second, err := deploy("b")
	if err != nil || second == first {
		t.Errorf("after a day: %d, %v", second, err)
	}
}

func TestKeyAtOnce(t *testing.T) {
	s := apitest.New(t)
	var wait sync.WaitGroup
	ids, errs := make([]uint64, 20), make([]error, 20)
	for n := range ids {
		wait.Go(func() {
			ids[n], errs[n] = s.Control.Deploy(t.Context(), s.Root(), control.Deployment{Spec: simple("web", 1), Key: "k", Body: []byte{byte(n % 2)}})
		})
	}
	wait.Wait()
	for n := range ids {
		if ids[n] == 0 && !errors.Is(errs[n], control.ErrKeyReused) {
			t.Error(errs[n])
		}
	}
	if n := s.Engine.Len(); n != 1 {
		t.Errorf("%d services were made", n)
	}
}
