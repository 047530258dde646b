package openrc

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "openrc")
	text := "#!/bin/bash\n# OS_USERNAME=none\nexport OS_USERNAME=ann\nexport OS_PASSWORD=\"a b=c\"\r\nOS_REGION_NAME='One'\nunset OS_TENANT_ID\n  export OS_EMPTY=\nOS_QUOTE=\"\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Read(file)
	want := map[string]string{"OS_USERNAME": "ann", "OS_PASSWORD": "a b=c", "OS_REGION_NAME": "One", "OS_EMPTY": "", "OS_QUOTE": `"`}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if err := os.WriteFile(file, []byte("A="+strings.Repeat("x", maxSize)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(file); err == nil {
		t.Error("a file without end is read")
	}
	if _, err := Read(file + "x"); err == nil {
		t.Error("a file that is not there is read")
	}
}

func FuzzRead(f *testing.F) {
	f.Add("export A='b'\nB=\"\n#=\n=x")
	f.Fuzz(func(t *testing.T, text string) {
		for name := range parse(text) {
			if strings.HasPrefix(name, "#") || strings.ContainsAny(name, "=\n") {
				t.Errorf("%q is no name", name)
			}
		}
	})
}
