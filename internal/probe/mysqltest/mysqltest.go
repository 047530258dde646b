// Package mysqltest serves as much of MySQL as a health check asks for, to tests.
package mysqltest

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"io"
	"net"
	"sync"
)

// A Server speaks as much of MySQL's protocol as a client needs to log in with a password and to ping.
type Server struct {
	User, Password, Database string
}

var salt = []byte("12345678abcdefghijkl")

// Serve answers the connections of a listener until it is closed, and waits for them.
func (m *Server) Serve(l net.Listener) {
	var all sync.WaitGroup
	defer all.Wait()
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
}

func (m *Server) talk(c net.Conn) {
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
	case string(user) != m.User || !bytes.Equal(proof, m.proof()):
		_ = send(c, 2, append([]byte{0xff, 0x15, 0x04}, "#28000Access denied for user '"+string(user)+"'"...))
		return
	case string(database) != m.Database:
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
func (m *Server) proof() []byte {
	once := sha1.Sum([]byte(m.Password))
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
