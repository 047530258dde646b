package storetest

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// nobody has no rights of its own.
const nobody = 65534

// Unprivileged reports whether the test is to go on. Root may write everywhere: where the test runs as root, Unprivileged
// runs it again in a process of nobody, fails as that does, and returns false.
func Unprivileged(t *testing.T) bool {
	t.Helper()
	if os.Geteuid() != 0 {
		return true
	}
	var run []string
	for part := range strings.SplitSeq(t.Name(), "/") {
		run = append(run, "^"+regexp.QuoteMeta(part)+"$")
	}
	// The folder of the test's binary is root's alone; this link leads past it.
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.v", "-test.run="+strings.Join(run, "/"))
	cmd.Env = append(os.Environ(), "TMPDIR=/tmp")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	switch {
	case errors.Is(err, fs.ErrPermission):
		t.Skip("nobody may not run this test: ", err)
	case err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())):
		t.Errorf("as nobody: %v\n%s", err, out)
	}
	return false
}
