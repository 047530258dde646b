package sim

import (
	"container/heap"
	"time"

	"github.com/troupe-dev/troupe/driver"
)

// What happens to a machine by itself.
type happening uint8

const (
	booted happening = iota
	exited
	died
)

// An event is void if the machine has changed its state since.
type event struct {
	at    int64 // Unix time in ns
	m     *machine
	epoch uint32
	what  happening
}

// events is the one heap of all that will happen, with one timer for the next of them. There is no timer
// while nothing is to come, and no goroutine while nothing happens.
type events struct {
	cloud *Cloud
	heap  eventHeap
	timer *time.Timer
	next  int64 // what the timer is set to; 0 for nothing
}

// add is called with the cloud's lock held.
func (e *events) add(at time.Time, m *machine, what happening) {
	heap.Push(&e.heap, event{at.UnixNano(), m, m.epoch, what})
	e.arm()
}

func (e *events) arm() {
	if len(e.heap) == 0 || e.next == e.heap[0].at {
		return
	}
	e.next = e.heap[0].at
	wait := max(0, time.Until(time.Unix(0, e.next)))
	if e.timer == nil {
		e.timer = time.AfterFunc(wait, e.fire)
	} else {
		e.timer.Reset(wait)
	}
}

// fire lets happen what is due, in portions, so that calls get their turn.
func (e *events) fire() {
	c := e.cloud
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for n := 0; n < 4096 && len(e.heap) > 0 && e.heap[0].at <= now.UnixNano(); n++ {
		v := heap.Pop(&e.heap).(event)
		if v.m.epoch != v.epoch || v.m.state == driver.Gone {
			continue
		}
		switch v.what {
		case booted:
			c.boot(v.m, now)
			c.publish(v.m)
		case exited:
			v.m.exit = v.m.more.exitCode
			c.become(v.m, driver.Exited, now)
		case died:
			c.kill(v.m)
		}
	}
	e.next = 0
	e.arm()
}

type eventHeap []event

func (h eventHeap) Len() int           { return len(h) }
func (h eventHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h eventHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *eventHeap) Push(v any) { *h = append(*h, v.(event)) }

// Pop implements heap.Interface.
func (h *eventHeap) Pop() any {
	last := len(*h) - 1
	v := (*h)[last]
	(*h)[last] = event{}
	*h = (*h)[:last]
	return v
}
