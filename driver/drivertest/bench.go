package drivertest

import (
	"context"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/driver"
)

// Bench measures the driver: one create and destroy, and a list of 100 machines.
func Bench(b *testing.B, h Harness) {
	if h.Timeout == 0 {
		h.Timeout = 30 * time.Second
	}
	ctx := context.Background()
	b.Run("CreateDestroy", func(b *testing.B) {
		a := open(b, h)
		for b.Loop() {
			req := a.request(a.Options)
			m, err := a.d.Create(ctx, req)
			if err != nil {
				b.Fatal(err)
			}
			if err := a.d.Destroy(ctx, ref(m), driver.Hard); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("List100", func(b *testing.B) {
		a := open(b, h)
		for range 100 {
			a.create()
		}
		a.settle()
		for b.Loop() {
			n := 0
			for _, err := range a.d.List(ctx) {
				if err != nil {
					b.Fatal(err)
				}
				n++
			}
			if n != 100 {
				b.Fatalf("%d machines are listed, want 100", n)
			}
		}
	})
}
