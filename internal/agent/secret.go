package agent

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// A secret comes from the environment, or from a file that is read anew when it changes.
type secret struct {
	file  string // "" for a fixed one
	value string
	size  int64
	time  time.Time
}

const maxSecret = 64 << 10

// get returns the secret as it is now. When a file that was read before cannot be read now, the last one stands: whoever
// replaces a file may do so in two steps.
func (s *secret) get() (string, error) {
	if s.file == "" {
		return s.value, nil
	}
	info, err := os.Stat(s.file)
	if err == nil && s.value != "" && info.Size() == s.size && info.ModTime().Equal(s.time) {
		return s.value, nil
	}
	text := ""
	if err == nil {
		text, err = readSecret(s.file)
	}
	switch {
	case err == nil:
		s.value, s.size, s.time = text, info.Size(), info.ModTime()
	case s.value == "":
		return "", err
	}
	return s.value, nil
}

// doubt makes get read the file again though it looks unchanged: what was in it is refused.
func (s *secret) doubt() { s.time = time.Time{} }

func readSecret(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return "", err
	}
	if len(text) > maxSecret {
		return "", fmt.Errorf("%s: larger than 64 KiB, so it holds no secret", name)
	}
	value := strings.TrimSpace(string(text))
	if value == "" {
		return "", fmt.Errorf("%s: is empty", name)
	}
	if strings.ContainsAny(value, "\r\n\x00") {
		return "", errors.New(name + ": holds more than one line")
	}
	return value, nil
}
