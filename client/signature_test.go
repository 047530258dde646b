package client

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"
)

func signed(body, secret string, at int64) http.Header {
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%d.%s", at, body)
	return http.Header{HeaderSignature: {fmt.Sprintf("t=%d,v1=%s", at, hex.EncodeToString(mac.Sum(nil)))}}
}

func TestVerifySignature(t *testing.T) {
	now := time.Unix(1_893_456_000, 0)
	good := signed("body", "secret", now.Unix())
	if err := VerifySignature(good, []byte("body"), "secret", now.Add(4*time.Minute), 0); err != nil {
		t.Error(err)
	}
	// A known answer, made with: printf '1893456000.body' | openssl dgst -sha256 -hmac secret
	known := http.Header{HeaderSignature: {"t=1893456000,v1=28e37f818e9346c8ef6aaf688a1de420fa53546b5ff54fe4babf99dafb645f51"}}
	if err := VerifySignature(known, []byte("body"), "secret", now, 0); err != nil {
		t.Error(err)
	}
	for name, x := range map[string]struct {
		h      http.Header
		body   string
		secret string
		now    time.Time
	}{
		"another body":   {good, "bodY", "secret", now},
		"another secret": {good, "body", "Secret", now},
		"too old":        {good, "body", "secret", now.Add(6 * time.Minute)},
		"from ahead":     {good, "body", "secret", now.Add(-6 * time.Minute)},
		"none":           {http.Header{}, "body", "secret", now},
		"no stamp":       {http.Header{HeaderSignature: {"v1=00"}}, "body", "secret", now},
		"no sum":         {http.Header{HeaderSignature: {"t=1893456000"}}, "body", "secret", now},
		"stamp replaced": {http.Header{HeaderSignature: {"t=1893456001," + good.Get(HeaderSignature)[13:]}}, "body", "secret", now},
	} {
		if err := VerifySignature(x.h, []byte(x.body), x.secret, x.now, 0); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzVerifySignature(f *testing.F) {
	now := time.Unix(1_893_456_000, 0)
	f.Add(signed("b", "another", now.Unix()).Get(HeaderSignature), "b")
	f.Add("t=,v1=,,=", "")
	f.Fuzz(func(t *testing.T, header, body string) {
		h := http.Header{HeaderSignature: {header}}
		if err := VerifySignature(h, []byte(body), "a secret that no input knows", now, 0); !errors.Is(err, ErrSignature) {
			t.Errorf("%q: %v", header, err)
		}
	})
}
