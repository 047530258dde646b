package identity

import (
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	for _, name := range []string{"a", "_", "7", "Jürgen", "名前", "a.b_c@d+e-f", "²", strings.Repeat("a", 128), strings.Repeat("ä", 128)} {
		if err := checkName("user", name); err != nil {
			t.Errorf("refused %q: %v", name, err)
		}
	}
	for _, name := range []string{"", ".a", "-a", "@a", "+a", "a b", "a:b", "a/b", "a\n", "a\x00", "\xff", "a\xff", "a\u0301", strings.Repeat("a", 129), strings.Repeat("名", 100)} {
		if checkName("user", name) == nil {
			t.Errorf("took %q", name)
		}
	}
}
