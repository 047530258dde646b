package control

import (
	"fmt"
	"testing"
	"time"
)

func TestKeyringForgets(t *testing.T) {
	k := keyring{of: map[string]int{}}
	begin := time.Now()
	for n := range keysOfUser {
		k.add(keyName(1, fmt.Sprint(n)), begin.Add(time.Duration(n)*time.Second))
	}
	k.add(keyName(2, "theirs"), begin.Add(-time.Hour))
	now := begin.Add(keysOfUser * time.Second)
	if gone := k.outdated("2", now); len(gone) != 0 {
		t.Errorf("another user's key drives out %v", gone)
	}
	gone := k.outdated("1", now)
	if len(gone) != 1 || gone[0] != "key/1/0" {
		t.Errorf("beyond the bound of a user: %v", gone)
	}
	k.swap(keyName(1, "new"), now, gone)
	if k.of["1"] != keysOfUser {
		t.Errorf("%d keys of the user are kept, want %d", k.of["1"], keysOfUser)
	}
	gone = k.outdated("2", begin.Add(keyLife+3*time.Second))
	if want := []string{"key/1/1", "key/1/2", "key/1/3"}; fmt.Sprint(gone) != fmt.Sprint(want) && len(gone) != 3 {
		t.Errorf("after their time: %v", gone)
	}
}

func TestOldKeysAreRead(t *testing.T) {
	now := time.Now()
	r, err := parseKey([]byte("17"), now)
	if err != nil || r.Service != 17 || !r.Made.Equal(now) || r.Body != nil {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := parseKey([]byte("x"), now); err == nil {
		t.Error("a damaged key is read")
	}
}
