package probe

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/internal/probe/mysqltest"
	"github.com/troupe-dev/troupe/internal/service"
)

func TestMySQL(t *testing.T) {
	l, port := listen(t)
	var served sync.WaitGroup
	served.Go(func() { (&mysqltest.Server{User: "probe", Password: "open sesame", Database: "shop"}).Serve(l) })
	t.Cleanup(func() { _ = l.Close(); served.Wait() })
	port = port[1:]
	silent, silentPort := listen(t)
	_ = silent
	closed, closedPort := listen(t)
	closed.Close()
	other := httpPort(t)
	for _, c := range []struct {
		check service.MySQL
		want  string
	}{
		{service.MySQL{Port: port, Database: "shop", User: "probe", Password: "open sesame"}, ""},
		{service.MySQL{Host: "localhost", Port: port, Database: "shop", User: "probe", Password: "open sesame"}, ""},
		{service.MySQL{Port: port, Database: "shop", User: "probe", Password: "close sesame"}, "mysql 127.0.0.1:" + port + ": Error 1045 (28000): Access denied for user 'probe'"},
		{service.MySQL{Port: port, Database: "shop", User: "probe"}, "Access denied"},
		{service.MySQL{Port: port, Database: "shed", User: "probe", Password: "open sesame"}, "Unknown database 'shed'"},
		{service.MySQL{Port: closedPort[1:], User: "probe", Password: "open sesame"}, "connection refused"},
		{service.MySQL{Port: silentPort[1:], User: "probe", Password: "open sesame"}, "no answer within 500ms"},
		{service.MySQL{Port: other, User: "probe", Password: "open sesame"}, "does not answer as MySQL does"},
	} {
		err := Run(t.Context(), &service.Check{MySQL: &c.check, Timeout: 500 * time.Millisecond}, Target{Address: "127.0.0.1"})
		outcome(t, c.want, err, c.want)
		if err != nil && strings.Contains(err.Error(), "sesame") {
			t.Errorf("the password shows: %v", err)
		}
	}
	outcome(t, "no address", Run(t.Context(), &service.Check{MySQL: &service.MySQL{}}, Target{}), "no address yet")
}

// httpPort is where something else than MySQL listens, which speaks at once.
func httpPort(t *testing.T) string {
	l, port := listen(t)
	var all sync.WaitGroup
	all.Go(func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	return port[1:]
}
