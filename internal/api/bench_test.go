package api

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/identity/identitytest"
)

// BenchmarkEmptyRequest is an authenticated request that does nothing, without the network.
func BenchmarkEmptyRequest(b *testing.B) {
	s, err := New(Options{Auth: door{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	routes, mux := http.NewServeMux(), http.NewServeMux()
	routes.HandleFunc("GET /v1/empty/{id}", func(w http.ResponseWriter, r *http.Request) {})
	mux.Handle("/v1/", s.Face(Face{Name: "native", Routes: routes}))
	h := s.wrap("main", nil, mux)
	r, _ := http.NewRequest("GET", "/v1/empty/7", nil)
	r.SetBasicAuth("ann", "x")
	r.RemoteAddr = "127.0.0.1:999"
	r.Body = http.NoBody
	w := nowhere{}
	b.ReportAllocs()
	for b.Loop() {
		clear(w)
		h.ServeHTTP(w, r)
	}
}

// BenchmarkEmptyRequestRemembered has the real login, remembered, in place of the test's.
func BenchmarkEmptyRequestRemembered(b *testing.B) {
	d, err := identity.Open(b.Context(), &identitytest.Records{})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := d.Bootstrap(b.Context(), "oneadmin", "correct horse"); err != nil {
		b.Fatal(err)
	}
	s, err := New(Options{Auth: d, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	h := s.wrap("main", nil, s.Face(Face{Name: "native", Routes: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {})}))
	r, _ := http.NewRequest("GET", "/v1/empty/7", nil)
	r.SetBasicAuth("oneadmin", "correct horse")
	r.RemoteAddr = "127.0.0.1:999"
	w := nowhere{}
	b.ReportAllocs()
	for b.Loop() {
		clear(w)
		h.ServeHTTP(w, r)
	}
}

// BenchmarkEmptyRequestOverTCP adds the network: keep-alive connections on loopback, client included.
func BenchmarkEmptyRequestOverTCP(b *testing.B) {
	f := serve(b, Options{}, nil, func(s *Server, mux *http.ServeMux) {
		s.log = slog.New(slog.DiscardHandler)
		routes := http.NewServeMux()
		routes.HandleFunc("GET /v1/empty/{id}", func(w http.ResponseWriter, r *http.Request) {})
		mux.Handle("/v1/", s.Face(Face{Name: "native", Routes: routes}))
	})
	address := strings.TrimPrefix(f.url, "http://")
	b.ReportAllocs()
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		c, err := net.Dial("tcp", address)
		if err != nil {
			b.Error(err)
			return
		}
		defer c.Close()
		in := bufio.NewReader(c)
		for pb.Next() {
			io.WriteString(c, "GET /v1/empty/7 HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YW5uOng=\r\n\r\n")
			for {
				line, err := in.ReadSlice('\n')
				if err != nil {
					b.Error(err)
					return
				}
				if len(line) == 2 {
					break
				}
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}

type nowhere http.Header

func (w nowhere) Header() http.Header         { return http.Header(w) }
func (w nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (w nowhere) WriteHeader(int)             {}
