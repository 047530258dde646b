package probe

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/internal/service"
)

// A mysqlServer speaks as much of MySQL's protocol as a client needs to log in with a password and to ping.
type mysqlServer struct {
	user, password, database string
}

var salt = []byte("12345678abcdefghijkl")

// serve answers connections until the listener is closed, and waits for them.
func (m *mysqlServer) serve(t *testing.T) (port string) {
	l, port := listen(t)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				m.talk(c)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	return strings.TrimPrefix(port, ":")
}

func (m *mysqlServer) talk(c net.Conn) {
	const capabilities = 0x1 | 0x8 | 0x200 | 0x8000 | 0x80000 // long password, database, 4.1, 20-byte passwords, plugins
	hello := append([]byte("\x0a8.4.0\x00\x01\x00\x00\x00"), salt[:8]...)
	hello = append(hello, 0)
	hello = binary.LittleEndian.AppendUint16(hello, capabilities&0xffff)
	hello = append(hello, 45, 2, 0)
	hello = binary.LittleEndian.AppendUint16(hello, capabilities>>16)
	hello = append(hello, 21)
	hello = append(append(append(hello, make([]byte, 10)...), salt[8:]...), 0)
	hello = append(hello, "mysql_native_password\x00"...)
	if send(c, 0, hello) != nil {
		return
	}
	login, err := receive(c)
	if err != nil || len(login) < 33 {
		return
	}
	user, rest, _ := bytes.Cut(login[32:], []byte{0})
	proof := rest[1 : 1+rest[0]]
	database, _, _ := bytes.Cut(rest[1+len(proof):], []byte{0})
	switch {
	case string(user) != m.user || !bytes.Equal(proof, m.proof()):
		_ = send(c, 2, append([]byte{0xff, 0x15, 0x04}, "#28000Access denied for user '"+string(user)+"'"...))
		return
	case string(database) != m.database:
		_ = send(c, 2, append([]byte{0xff, 0x19, 0x04}, "#42000Unknown database '"+string(database)+"'"...))
		return
	}
	ok := []byte{0, 0, 0, 2, 0, 0, 0}
	if send(c, 2, ok) != nil {
		return
	}
	for {
		command, err := receive(c)
		if err != nil || len(command) == 0 || command[0] != 0x0e { // ping
			return
		}
		if send(c, 1, ok) != nil {
			return
		}
	}
}

// proof is what a client that knows the password answers.
func (m *mysqlServer) proof() []byte {
	once := sha1.Sum([]byte(m.password))
	twice := sha1.Sum(once[:])
	mixed := sha1.Sum(append(bytes.Clone(salt), twice[:]...))
	for n := range once {
		once[n] ^= mixed[n]
	}
	return once[:]
}

func send(w io.Writer, number byte, payload []byte) error {
	n := len(payload)
	_, err := w.Write(append([]byte{byte(n), byte(n >> 8), byte(n >> 16), number}, payload...))
	return err
}

func receive(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	payload := make([]byte, int(head[0])|int(head[1])<<8|int(head[2])<<16)
	_, err := io.ReadFull(r, payload)
	return payload, err
}

func TestMySQL(t *testing.T) {
	port := (&mysqlServer{"probe", "open sesame", "shop"}).serve(t)
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
