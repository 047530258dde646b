package engine

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// Fail points kill this process at a named place, for the tests of crashes: TROUPE_FAILPOINT=NAME:N
// dies at the N-th passing. Their names: observe, commit, effect, create, created, destroy, destroyed,
// make, made, unmake, unmade.
var failName, failCount = parseFailpoint(os.Getenv("TROUPE_FAILPOINT"))

var passed atomic.Int64

func parseFailpoint(v string) (string, int64) {
	name, n, _ := strings.Cut(v, ":")
	count, err := strconv.ParseInt(n, 10, 64)
	if err != nil {
		count = 1
	}
	return name, count
}

func failpoint(name string) {
	if failName != name {
		return
	}
	if passed.Add(1) == failCount {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}
