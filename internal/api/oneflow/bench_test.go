package oneflow_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/api/apitest"
)

// One GET of a service of so many machines, over HTTP.
func BenchmarkShow(b *testing.B) {
	for _, machines := range []int{3, 100} {
		b.Run(fmt.Sprint(machines), func(b *testing.B) {
			s := newStage(b, sim.Options{})
			id := s.running(fmt.Sprintf(`{"name":"b","roles":[{"name":"r","type":"vm","template_id":0,"cardinality":%d}]}`, machines))
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					req, _ := http.NewRequest("GET", s.url+"/service/"+id, nil)
					req.SetBasicAuth(apitest.Admin, apitest.Password)
					resp, err := http.DefaultClient.Do(req)
					if err != nil {
						b.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			})
		})
	}
}
