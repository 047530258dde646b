package dns

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noon is when tests change things.
var noon = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

// zone returns a zone with records, each NAME TYPE DATA.
func zone(t testing.TB, name string, records ...[3]string) Zone {
	t.Helper()
	z, err := NewZone(name, "", 600, noon)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if _, err := z.Add(Record{Name: r[0], Type: r[1], Data: r[2]}, noon); err != nil {
			t.Fatalf("%v: %v", r, err)
		}
	}
	return z
}

// catalog serves zones, and instances below troupe.internal.
func catalog(t testing.TB, zones ...Zone) *Catalog {
	t.Helper()
	c := NewCatalog(CatalogOptions{Zone: "troupe.internal."})
	for _, z := range zones {
		if err := c.Put(z); err != nil {
			t.Fatal(err)
		}
	}
	return c
}
