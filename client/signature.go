package client

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Headers of notifications, for receivers.
const (
	// HeaderSignature is "t=UNIX SECONDS,v1=HEX"; see VerifySignature.
	HeaderSignature = "X-Troupe-Signature"
	// HeaderEvent is the same for every try of one notification: drop what came before.
	HeaderEvent = "X-Troupe-Event"
	// HeaderSequence counts the changes of the alarm.
	HeaderSequence = "X-Troupe-Sequence"
	// HeaderTest is "true" when somebody tries the way.
	HeaderTest = "X-Troupe-Test"
)

// ErrSignature: a notification is not signed with the secret, or not lately. Answer 401.
var ErrSignature = errors.New("signature does not hold")

// VerifySignature checks that a notification was signed with the method's secret, at most tolerance before
// or after now (5 minutes when zero). The body is as it was received. A callback to an orchestrator has no
// body: give the value of its X-OCCI-Attribute header. The error is an ErrSignature.
//
//	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
//	if err := client.VerifySignature(r.Header, body, secret, time.Now(), 0); err != nil { … }
func VerifySignature(h http.Header, body []byte, secret string, now time.Time, tolerance time.Duration) error {
	if tolerance == 0 {
		tolerance = 5 * time.Minute
	}
	header := h.Get(HeaderSignature)
	if header == "" {
		return fmt.Errorf("%w: no header %s", ErrSignature, HeaderSignature)
	}
	stamp, sums := "", []string(nil)
	for part := range strings.SplitSeq(header, ",") {
		switch name, value, _ := strings.Cut(strings.TrimSpace(part), "="); name {
		case "t":
			stamp = value
		case "v1":
			sums = append(sums, value)
		}
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return fmt.Errorf("%w: no time stamp", ErrSignature)
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > tolerance || age < -tolerance {
		return fmt.Errorf("%w: signed %v ago by this clock, %v is the most", ErrSignature, age.Round(time.Second), tolerance)
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(stamp + "."))
	mac.Write(body)
	want := mac.Sum(nil)
	for _, sum := range sums {
		if given, err := hex.DecodeString(sum); err == nil && hmac.Equal(given, want) {
			return nil
		}
	}
	return fmt.Errorf("%w: another secret, or another body", ErrSignature)
}
