package notify

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var start = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func TestDelivery(t *testing.T) {
	hook := &Method{ID: "hook", Type: Webhook}
	around := func(after time.Duration, period int) Surroundings {
		return Surroundings{Now: start.Add(after), Method: &Method{ID: "hook", Type: Webhook, Period: period}, Sequence: 7}
	}
	m := example()
	m.Time = start
	fresh := NewDelivery(m, 1, "hook", start)
	if fresh.ID != "5f0c-7-hook" || fresh.Phase != Queued {
		t.Fatalf("%+v", fresh)
	}
	if _, step := fresh.Before(around(0, 0)); step != Send {
		t.Error("a fresh one is not sent")
	}
	if _, step := fresh.Before(Surroundings{Now: start}); step != Remove {
		t.Error("the method is gone, the delivery is not")
	}
	if _, step := fresh.Before(Surroundings{Now: start, Method: hook}); step != Send {
		t.Error("a change of an alarm that is gone is told all the same")
	}
	if d, step := fresh.Before(around(TTL, 0)); step != Keep || d.Phase != Dead || !d.Ended.Equal(start.Add(TTL)) {
		t.Errorf("too old: %v %+v", step, d)
	}
	if _, step := fresh.After(nil, around(0, 0), 0); step != Remove {
		t.Error("it arrived, and stays")
	}

	failed, step := fresh.After(errors.New("answered 500"), around(0, 0), 0)
	if step != Keep || failed.Phase != Retrying || failed.Tries != 1 || !failed.Next.Equal(start.Add(time.Second)) || failed.Reason != "answered 500" {
		t.Errorf("%v %+v", step, failed)
	}
	if d, _ := fresh.After(&Failure{Reason: "busy", RetryAfter: 90 * time.Second}, around(0, 0), 0); !d.Next.Equal(start.Add(90 * time.Second)) {
		t.Errorf("Retry-After is not kept: %v", d.Next)
	}
	if d, _ := fresh.After(&Failure{Reason: "busy", RetryAfter: 1000 * time.Hour}, around(0, 0), 0); !d.Next.Equal(start.Add(maxRetryAfter)) {
		t.Errorf("Retry-After without bound: %v", d.Next)
	}
	dead, _ := fresh.After(&Failure{Reason: "gone", Permanent: true}, around(0, 0), 0)
	if dead.Phase != Dead || dead.Reason != "gone" {
		t.Errorf("%+v", dead)
	}
	late, _ := failed.After(errors.New("answered 502"), around(TTL-time.Millisecond, 0), 0)
	if late.Phase != Dead || !strings.Contains(late.Reason, "answered 502") {
		t.Errorf("%+v", late)
	}
	again := dead.Resend(start.Add(5 * time.Hour))
	if _, step := again.Before(around(5*time.Hour, 0)); step != Send || again.EventID() != fresh.EventID() {
		t.Errorf("resent: %v %+v", step, again)
	}
}

func TestRepetition(t *testing.T) {
	m := example()
	around := func(after time.Duration, period int, sequence uint64) Surroundings {
		return Surroundings{Now: start.Add(after), Method: &Method{ID: "hook", Period: period}, Sequence: sequence}
	}
	d, step := NewDelivery(m, 1, "hook", start).After(nil, around(time.Second, 60, 7), 0)
	if step != Keep || d.Phase != Repeating || !d.Next.Equal(start.Add(61*time.Second)) || d.EventID() != "5f0c-7-r1" {
		t.Fatalf("%v %+v", step, d)
	}
	for name, x := range map[string]struct {
		s    Surroundings
		step Step
	}{
		"same state":          {around(61*time.Second, 60, 7), Send},
		"another state":       {around(61*time.Second, 60, 8), Remove},
		"alarm gone":          {around(61*time.Second, 60, 0), Remove},
		"period taken away":   {around(61*time.Second, 0, 7), Remove},
		"method gone":         {Surroundings{Now: start, Sequence: 7}, Remove},
		"server down for two": {around(48*time.Hour, 60, 7), Send},
	} {
		if _, step := d.Before(x.s); step != x.step {
			t.Errorf("%s: step %v", name, step)
		}
	}
	failed, step := d.After(errors.New("x"), around(61*time.Second, 60, 7), 0)
	if step != Keep || failed.Phase != Repeating || failed.EventID() != "5f0c-7-r1" || !failed.Next.Equal(start.Add(62*time.Second)) {
		t.Errorf("%v %+v", step, failed)
	}
	if _, step := d.After(&Failure{Permanent: true}, around(61*time.Second, 60, 7), 0); step != Remove {
		t.Error("a repetition that cannot arrive is no dead letter")
	}
	m.Test = true
	if _, step := NewDelivery(m, 1, "hook", start).After(nil, around(0, 60, 7), 0); step != Remove {
		t.Error("a test repeats")
	}
}

// TestLife: whatever happens, a delivery ends within its time, pauses stay within bounds, and the event
// keeps its name until it has arrived.
func TestLife(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := start
		d := NewDelivery(example(), 1, "hook", now)
		method := &Method{ID: "hook", Period: rapid.SampledFrom([]int{0, 60}).Draw(t, "period")}
		for range 2000 {
			s := Surroundings{Now: now, Method: method, Sequence: 7}
			next, step := d.Before(s)
			if step == Send {
				var err error
				switch rapid.IntRange(0, 9).Draw(t, "outcome") {
				case 0:
					err = &Failure{Reason: "wait", RetryAfter: time.Duration(rapid.IntRange(0, 10_000).Draw(t, "wait")) * time.Second}
				case 1:
					if next, step = next.After(nil, s, 0.5); step == Keep && next.Phase != Repeating {
						t.Fatalf("arrived: %+v", next)
					}
				default:
					err = errors.New("no")
				}
				if err != nil {
					next, step = next.After(err, s, rapid.Float64Range(0, 0.999).Draw(t, "jitter"))
					if step == Keep && next.Phase != Dead {
						if pause := next.Next.Sub(now); pause < firstPause/2 || pause > maxRetryAfter {
							t.Fatalf("pause %v", pause)
						}
					}
					if step == Keep && next.EventID() != d.EventID() {
						t.Fatalf("%s became %s", d.EventID(), next.EventID())
					}
				}
			}
			if step == Remove || next.Phase == Dead {
				if age := now.Sub(next.Since); age > TTL {
					t.Fatalf("ended after %v", age)
				}
				return
			}
			d, now = next, next.Next
			if d.Phase == Repeating && d.Repeat > 3 {
				return
			}
		}
		t.Fatal("no end")
	})
}

func TestPause(t *testing.T) {
	for tries, want := range map[int]time.Duration{0: time.Second, 1: time.Second, 2: 2 * time.Second, 6: 32 * time.Second, 7: time.Minute, 1 << 40: time.Minute} {
		if got := Pause(tries, 0); got != want {
			t.Errorf("%d: %v, want %v", tries, got, want)
		}
		if got := Pause(tries, 0.999); got < want/2 || got > want*51/100 {
			t.Errorf("%d with jitter: %v", tries, got)
		}
	}
}
