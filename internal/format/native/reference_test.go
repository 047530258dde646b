package native

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// docs/reference.md is what Reference says; -update writes it anew.
func TestReferencePage(t *testing.T) {
	const page = "../../../docs/reference.md"
	if *update {
		if err := os.WriteFile(page, []byte(Reference()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	committed, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(committed), Reference()); diff != "" {
		t.Errorf("docs/reference.md is not what the tables say; write it anew with go test ./internal/format/native -run TestReferencePage -update\n%s", diff)
	}
}
