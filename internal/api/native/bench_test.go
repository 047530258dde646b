package native_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/troupe-dev/troupe/internal/api/apitest"
)

// BenchmarkGetService gets one service over HTTP, the load generator included.
func BenchmarkGetService(b *testing.B) {
	s := newStage(b)
	s.up(s.Client, web)
	for _, path := range []string{"/v1/services/1", "/v1/services/1/explain"} {
		b.Run(path[len("/v1/services/1"):], func(b *testing.B) {
			transport := &http.Transport{MaxIdleConnsPerHost: 64}
			defer transport.CloseIdleConnections()
			b.ReportAllocs()
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					req, err := http.NewRequest(http.MethodGet, s.url+path, nil)
					if err != nil {
						b.Error(err)
						return
					}
					req.SetBasicAuth(apitest.Admin, apitest.Password)
					resp, err := transport.RoundTrip(req)
					if err != nil {
						b.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					if resp.StatusCode != http.StatusOK {
						b.Errorf("status %d", resp.StatusCode)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
		})
	}
}
