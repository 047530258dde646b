package engine

import (
	"time"

	"github.com/troupe-dev/troupe/driver"
)

// Observer returns what counts the driver calls of a back end, for driver.WrapOptions.
func (m *Metrics) Observer(backend string) driver.Observer {
	return func(call string, took time.Duration, err error) {
		class := driver.Class(err)
		if class == "" {
			class = "ok"
		}
		m.call(backend, call, class, took)
	}
}
