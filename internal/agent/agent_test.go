package agent

import (
	"context"
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/troupe-dev/troupe/internal/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A whole agent: it reports to a server that fails at first, and ends without leaving anything behind.
func TestRun(t *testing.T) {
	refused, arrived := 0, make(chan string, 100)
	var f *face
	f = serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			return // the check
		}
		if refused++; refused == 1 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		w.WriteHeader(http.StatusNoContent)
		arrived <- f.bodies[len(f.bodies)-1]
	})
	a, err := New(&Config{
		Interval: time.Second, Troupe: &TroupeTarget{URL: f.URL, TokenFile: secretFile(t, "tok")},
		HTTP: []HTTPCheck{{URL: f.URL + "/health"}}, TCP: []TCPCheck{{Address: f.Listener.Addr().String()}},
	}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- a.Run(ctx) }()
	for range 3 {
		body := <-arrived
		if err := telemetry.DecodeMonasca(telemetry.NewBatch(), []byte(body)); err != nil {
			t.Errorf("%v in %s", err, body)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for _, h := range f.header {
		if v := h.Get("Authorization"); v != "" && v != "Bearer tok" {
			t.Errorf("the token was %q", v)
		}
	}
}
