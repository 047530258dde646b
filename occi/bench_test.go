package occi_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/occi"
)

// created makes a compute and returns its path.
func created(t testing.TB, s http.Handler) string {
	t.Helper()
	w := call(t, s, "POST", "/compute/", compute, `X-OCCI-Attribute: occi.compute.memory=3.6, occi.compute.hostname="h1", occi.core.title="front"`)
	if w.Code != http.StatusCreated {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return strings.TrimPrefix(w.Header().Get("Location"), "http://cloud.example.org")
}

func BenchmarkGet(b *testing.B) {
	s := infrastructure(occi.Options{})
	path := created(b, s)
	for _, accept := range []string{occi.TextPlain, occi.TextOCCI, occi.JSON} {
		b.Run(accept[strings.Index(accept, "/")+1:], func(b *testing.B) {
			r := httptest.NewRequest("GET", "http://cloud.example.org"+path, nil)
			r.Header.Set("Accept", accept)
			b.ReportAllocs()
			for b.Loop() {
				w := httptest.NewRecorder()
				if s.ServeHTTP(w, r); w.Code != http.StatusOK {
					b.Fatal(w.Code)
				}
			}
		})
	}
}

// BenchmarkGetOverHTTP is what clients get: requests over connections of this machine, client included.
func BenchmarkGetOverHTTP(b *testing.B) {
	s := infrastructure(occi.Options{})
	path := created(b, s)
	server := httptest.NewServer(s)
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			resp, err := client.Get(server.URL + path)
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body) // an error shows in the status of the next
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				b.Errorf("status %d", resp.StatusCode)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}

// crowded is a service whose user has defined so many mixins.
func crowded(t testing.TB, n int) *occi.Server {
	t.Helper()
	s := infrastructure(occi.Options{})
	for from := 0; from < n; from += 500 {
		body := []string{"Content-Type: text/plain", ""}
		for i := from; i < from+500; i++ {
			body = append(body, fmt.Sprintf(`Category: t%d; scheme="http://example.org/mixins#"; class="mixin"; location="/m/%d/"`, i, i))
		}
		if w := call(t, s, "POST", "/-/", body...); w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	return s
}

// BenchmarkCrowd is what a service costs whose query interface has 10,000 mixins.
func BenchmarkCrowd(b *testing.B) {
	s := crowded(b, 10000)
	path := created(b, s)
	for name, target := range map[string]string{"get": path, "query interface": "/-/", "one mixin": "/m/5000/"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if w := call(b, s, "GET", target); w.Code != http.StatusOK {
					b.Fatalf("%d %s", w.Code, w.Body)
				}
			}
		})
	}
	b.Run("define", func(b *testing.B) {
		for b.Loop() {
			call(b, s, "POST", "/-/", `Category: n; scheme="http://example.org/new#"; class="mixin"; location="/new/"`)
			if w := call(b, s, "DELETE", "/-/", `Category: n; scheme="http://example.org/new#"`); w.Code != http.StatusOK {
				b.Fatalf("%d %s", w.Code, w.Body)
			}
		}
	})
}
