package occopus

import (
	"fmt"
	"path/filepath"
	"strings"
)

// A Search looks for the files of Occopus where it looked for them.
type Search struct {
	Getenv  func(name string) string
	Home    string // the user's home folder; "" for none
	Program string // the folder of the program; "" for none
	Exists  func(path string) bool
}

// A Place is where a file was found.
type Place struct {
	Path string
	// Notice is the line that Occopus prints to standard error for a file that nobody named; "" otherwise.
	Notice string
}

// Configuration finds occopus_config.yaml. given is the value of --cfg, "" without one.
func (s Search) Configuration(given string) (Place, error) {
	return s.find(given, "configuration", "OCCOPUS_CONFIG_PATH", "occopus_config.yaml", false)
}

// ImportConfiguration finds the configuration as occopus-import does: in the variable and the home folder alone.
func (s Search) ImportConfiguration(given string) (Place, error) {
	return s.find(given, "configuration", "OCCOPUS_CONFIG_PATH", "occopus_config.yaml", true)
}

// Authentication finds auth_data.yaml. given is the value of --auth_data_path, "" without one.
func (s Search) Authentication(given string) (Place, error) {
	return s.find(given, "authentication", "OCCOPUS_AUTH_DATA_PATH", "auth_data.yaml", false)
}

// missingFile is what Occopus says.
const missingFile = "Specified %s file does not exist"

func (s Search) find(given, what, variable, name string, few bool) (Place, error) {
	if given != "" {
		if !s.Exists(given) {
			return Place{}, fmt.Errorf("%s: '%s'", fmt.Sprintf(missingFile, what), given)
		}
		return Place{Path: given}, nil
	}
	var places []string
	if v := s.Getenv(variable); v != "" {
		places = append(places, v)
	}
	if s.Home != "" {
		places = append(places, filepath.Join(s.Home, ".occopus", name))
	}
	if !few {
		places = append(places, name, filepath.Join("/etc/occopus", name))
		if s.Program != "" {
			places = append(places, filepath.Join(s.Program, name))
		}
	}
	for _, p := range places {
		if s.Exists(p) {
			return Place{p, fmt.Sprintf("Using default %s file: '%s'", what, p)}, nil
		}
	}
	return Place{}, fmt.Errorf("no %s file: name one, or put it in one of these places:\n  %s", what, strings.Join(places, "\n  "))
}

// User returns the name under which Occopus kept a user's data: the first of its variables, else the account's.
func User(getenv func(string) string, account string) string {
	for _, name := range []string{"LOGNAME", "USER", "LNAME", "USERNAME"} {
		if v := getenv(name); v != "" {
			return v
		}
	}
	return account
}
