package api

import (
	"net/http/httptest"
	"testing"
)

func TestTidied(t *testing.T) {
	for from, want := range map[string]string{
		"/": "/", "/a": "/a", "/a/": "/a", "//a//b/": "/a/b", "/a/../b": "/b", "/a%2Fb//c": "/a%2Fb/c", "/a/./b?x=//": "/a/b",
	} {
		r := httptest.NewRequest("GET", from, nil)
		if got := Tidied(r).URL.EscapedPath(); got != want {
			t.Errorf("%s becomes %s, not %s", from, got, want)
		}
		if (Tidied(r) == r) != (r.URL.EscapedPath() == want) {
			t.Errorf("%s is copied although it is tidy, or not although it is not", from)
		}
	}
}
