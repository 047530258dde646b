package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"time"
)

// Headers of what is posted. The client package checks the signature for receivers.
const (
	headerPrefix    = "X-Troupe-"
	headerSignature = "X-Troupe-Signature" // t=UNIX SECONDS,v1=HEX
	headerEvent     = "X-Troupe-Event"     // the same for every try: what doubles are told by
	headerSequence  = "X-Troupe-Sequence"  // counts the changes of the alarm
	headerTest      = "X-Troupe-Test"      // "true" for a message that tries the way
)

// mark names the event, and signs the content if the method has a secret.
func mark(h http.Header, d *Delivery, secret string, content []byte, now time.Time) {
	h.Set(headerEvent, d.EventID())
	h.Set(headerSequence, strconv.FormatUint(d.Message.Sequence, 10))
	if d.Message.Test {
		h.Set(headerTest, "true")
	}
	if secret != "" {
		t := strconv.FormatInt(now.Unix(), 10)
		h.Set(headerSignature, "t="+t+",v1="+signature(t, content, secret))
	}
}

// signature is the HMAC-SHA-256 of "time.content" in hex.
func signature(t string, content []byte, secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(t))
	mac.Write([]byte{'.'})
	mac.Write(content)
	return hex.EncodeToString(mac.Sum(nil))
}
