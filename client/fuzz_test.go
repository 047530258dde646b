package client

import (
	"bufio"
	"bytes"
	"testing"
)

func FuzzReadEvent(f *testing.F) {
	for _, seed := range []string{"", "data: x\n\n", ": c\n\nid: 1\nevent: e\ndata: a\ndata: b\n\n", "data\n\n", "\r\n\r\n", "data: x", "event: e\n\ndata: y\n\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r := bufio.NewReader(bytes.NewReader(text))
		for {
			name, data, err := readEvent(r, func() {})
			if err != nil {
				return
			}
			if bytes.ContainsRune([]byte(name), '\n') || len(data) > len(text) {
				t.Errorf("event %q with %q", name, data)
			}
		}
	})
}
