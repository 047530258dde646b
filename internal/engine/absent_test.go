package engine

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/sim"
)

// A record is a log that is read while it is written.
type record struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *record) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(b)
}

func (r *record) count(words string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Count(r.text.String(), words)
}

// TestAbsentBackEnd: a back end that is not there, and that nobody uses, is told of once and no warning. One that
// goes away after it was there is a warning, once.
func TestAbsentBackEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &record{}
		s := newStage(t, sound, sim.Options{Guarantee: driver.Token, Faults: driver.Plan{Errors: 1}})
		s.change = func(o *Options) { o.Log = slog.New(slog.NewTextHandler(log, nil)) }
		s.start()
		time.Sleep(time.Hour)
		if n := log.count("list of a back end failed"); n != 1 || log.count("level=WARN") != 0 {
			t.Errorf("after an hour: told %d times, want once and no warning:\n%s", n, log.text.String())
		}
		s.clouds[1].Set(func(o *sim.Options) { o.Faults = driver.Plan{} })
		time.Sleep(time.Minute)
		if n := log.count("back end listed"); n != 2 {
			t.Errorf("it is there now, but %d back ends are listed:\n%s", n, log.text.String())
		}
		s.clouds[1].Set(func(o *sim.Options) { o.Faults = driver.Plan{Errors: 1} })
		time.Sleep(time.Hour)
		if n := log.count("level=WARN msg=\"list of a back end failed\""); n != 1 {
			t.Errorf("gone again: warned %d times, want once:\n%s", n, log.text.String())
		}
		s.stop()
	})
}
