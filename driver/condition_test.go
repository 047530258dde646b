package driver_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/driver"
)

// A moody driver ends each call with its mood.
type moody struct {
	driver.Driver
	mood error
}

func (m *moody) Destroy(context.Context, driver.Ref, driver.Shutdown) error { return m.mood }

func TestCondition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &moody{}
		d := driver.Wrap(m, &driver.Kind{Name: "moody"}, driver.WrapOptions{Attempts: 1, Failures: 3, Rest: time.Minute})
		call := func(mood error) {
			m.mood = mood
			_ = d.Destroy(t.Context(), driver.Ref{ID: "7-1-1"}, driver.Hard)
		}
		call(nil)
		if c := driver.ConditionOf(d); c != (driver.Condition{}) {
			t.Errorf("of a well one: %+v", c)
		}
		begin := time.Now()
		call(fmt.Errorf("slow down: %w", driver.ErrThrottled))
		time.Sleep(time.Second)
		call(fmt.Errorf("slow down: %w", driver.ErrThrottled))
		if c := driver.ConditionOf(d); !c.Throttled.Equal(begin) || !c.Open.IsZero() {
			t.Errorf("of a throttled one: %+v", c)
		}
		call(nil)
		if c := driver.ConditionOf(d); c != (driver.Condition{}) {
			t.Errorf("once it answers: %+v", c)
		}
		for range 3 {
			call(fmt.Errorf("nobody there: %w", driver.ErrUnavailable))
		}
		opened := time.Now()
		c := driver.ConditionOf(d)
		if !c.Open.Equal(opened) || !c.Until.Equal(opened.Add(time.Minute)) || c.Failures != 3 || c.Last == "" {
			t.Errorf("of one that is down: %+v", c)
		}
		time.Sleep(time.Minute)
		call(fmt.Errorf("nobody there: %w", driver.ErrUnavailable))
		if c := driver.ConditionOf(d); !c.Open.Equal(opened) || !c.Until.After(time.Now()) {
			t.Errorf("still down: %+v", c)
		}
		time.Sleep(2 * time.Minute)
		call(nil)
		if c := driver.ConditionOf(d); c != (driver.Condition{}) {
			t.Errorf("up again: %+v", c)
		}
	})
}
