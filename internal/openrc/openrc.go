// Package openrc reads the files by which shells get the credentials of an OpenStack.
package openrc

import (
	"fmt"
	"os"
	"strings"
)

// maxSize is how many bytes such a file may have.
const maxSize = 64 << 10

// Read returns what an openrc file sets, by the variables' names: lines such as export OS_USERNAME=monasca. Other lines
// have no effect. The error holds nothing of the file.
func Read(file string) (map[string]string, error) {
	info, err := os.Stat(file)
	if err == nil && info.Size() > maxSize {
		err = fmt.Errorf("%s has more than %d bytes", file, maxSize)
	}
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return parse(string(text)), nil
}

func parse(text string) map[string]string {
	values := make(map[string]string)
	for line := range strings.Lines(text) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "export ")
		name, value, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		values[strings.TrimSpace(name)] = value
	}
	return values
}
