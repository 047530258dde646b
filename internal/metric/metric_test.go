package metric

import (
	"strings"
	"testing"
)

func TestDimensions(t *testing.T) {
	d := NewDimensions(map[string]string{"service": "7", "hostname": "web01", "role": "web"})
	if got, want := d.String(), "{hostname=web01, role=web, service=7}"; got != want {
		t.Fatalf("printed %s, want %s", got, want)
	}
	if v, ok := d.Get("role"); v != "web" || !ok {
		t.Errorf("role is %q, %v", v, ok)
	}
	if _, ok := d.Get("rol"); ok {
		t.Error("found what is not there")
	}
	for part, want := range map[string]bool{"": true, "role=web": true, "role=app": false, "hostname=web01,service=7": true, "zone=a": false, "a=b,role=web": false} {
		m := make(map[string]string)
		for _, x := range strings.Split(part, ",") {
			if name, value, ok := strings.Cut(x, "="); ok {
				m[name] = value
			}
		}
		if got := d.Covers(NewDimensions(m)); got != want {
			t.Errorf("covers {%s}: %v", part, got)
		}
	}
	if n := testing.AllocsPerRun(100, func() { d.Covers(d); d.Get("role") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestCheck(t *testing.T) {
	for _, name := range []string{"cpu.user_perc", "a:b/c@d", "千幸福的笑脸", strings.Repeat("é", 255)} {
		if err := CheckName(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", "a b", "a{b", "a\xff", strings.Repeat("x", 256), "m(n)"} {
		if CheckName(name) == nil {
			t.Errorf("%q passed", name)
		}
	}
	for _, x := range [][2]string{{"url", "http://a.test/x y|z"}, {"100", "200"}} {
		if err := CheckDimension(x[0], x[1]); err != nil {
			t.Error(err)
		}
	}
	for _, x := range [][2]string{{"_a", "b"}, {"a", ""}, {"", "b"}, {"a", "b=c"}, {"a&b", "c"}} {
		if CheckDimension(x[0], x[1]) == nil {
			t.Errorf("%q passed", x)
		}
	}
}
