package control

import "fmt"

// Misplaced is what is wrong at one place of a description, "roles[1].machine.implementations[0].driver",
// for faces to point at.
type Misplaced struct {
	Path string
	Err  error
}

func (m *Misplaced) Error() string { return m.Path + ": " + m.Err.Error() }

// Unwrap returns the error without its place.
func (m *Misplaced) Unwrap() error { return m.Err }

// misplaced is an error of a class, at a place.
func misplaced(path string, class, err error) error {
	return fmt.Errorf("%w: %w", class, &Misplaced{path, err})
}

func noAccount(driver, account string) error {
	return fmt.Errorf("this server has no account %q of driver %s", account, driver)
}
