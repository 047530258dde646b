package openstack

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"github.com/troupe-dev/troupe/driver"
)

// words are what services say, in lower case, and what it means where the status does not tell. The first that matches
// counts.
var words = []struct {
	says  string
	class error
}{
	{"quota", driver.ErrCapacity}, {"overlimit", driver.ErrCapacity}, {"no valid host", driver.ErrCapacity}, {"maximum number of", driver.ErrCapacity},
	{"no more ip addresses", driver.ErrCapacity}, {"ipaddressgenerationfailure", driver.ErrCapacity}, {"externalipaddressexhausted", driver.ErrCapacity},
	{"exceeded maximum number of retries", driver.ErrCapacity}, {"exhausted all hosts", driver.ErrCapacity}, {"insufficient compute resources", driver.ErrCapacity},
	{"task_state", driver.ErrUnavailable}, {"while it is in vm_state", driver.ErrInvalid}, {"multiple possible networks", driver.ErrInvalid},
	{"is not reachable from subnet", driver.ErrInvalid}, {"externalgatewayforfloatingipnotfound", driver.ErrInvalid},
}

// classed gives an error of the client its class, and keeps the service's words.
func classed(err error) error {
	if err == nil || driver.Class(err) != "other" {
		return err // its class was known where it arose, or its context has ended
	}
	if class := classOf(err); class != nil {
		return fmt.Errorf("%w: %s", class, wordsOf(err))
	}
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return fmt.Errorf("%w: %w: %s", driver.ErrUnavailable, driver.ErrUnasked, err)
	}
	return fmt.Errorf("%w: %s", driver.ErrUnavailable, err)
}

// classOf returns the class of an answer; nil where err is none.
func classOf(err error) error {
	if isNone(err) {
		return driver.ErrDenied
	}
	var again *gophercloud.ErrUnableToReauthenticate
	if errors.As(err, &again) {
		if class := classOf(again.ErrReauth); class != nil {
			return class
		}
		return driver.ErrUnavailable
	}
	answer, ok := answerOf(err)
	if !ok {
		return nil
	}
	text := strings.ToLower(string(answer.Body))
	if answer.Actual != http.StatusUnauthorized && answer.Actual < 500 {
		for _, w := range words {
			if strings.Contains(text, w.says) {
				return w.class
			}
		}
	}
	switch answer.Actual {
	case http.StatusUnauthorized, http.StatusForbidden:
		return driver.ErrDenied
	case http.StatusNotFound:
		return driver.ErrNotFound
	case http.StatusRequestEntityTooLarge, http.StatusTooManyRequests:
		seconds, _ := strconv.Atoi(answer.ResponseHeader.Get("Retry-After"))
		return driver.Throttled(time.Duration(max(seconds, 0))*time.Second, "asked too often")
	case http.StatusNotImplemented:
		return driver.ErrUnsupported
	case http.StatusConflict, http.StatusRequestTimeout, http.StatusPreconditionFailed:
		return driver.ErrUnavailable
	}
	if answer.Actual < 500 {
		return driver.ErrInvalid
	}
	return driver.ErrUnavailable
}

// isNone reports whether a cloud has no service of a kind.
func isNone(err error) bool {
	var none *gophercloud.ErrEndpointNotFound
	return errors.As(err, &none) || errors.As(err, new(gophercloud.ErrEndpointNotFound))
}

func answerOf(err error) (gophercloud.ErrUnexpectedResponseCode, bool) {
	var answer gophercloud.ErrUnexpectedResponseCode
	if errors.As(err, &answer) {
		return answer, true
	}
	var pointer *gophercloud.ErrUnexpectedResponseCode
	if errors.As(err, &pointer) {
		return *pointer, true
	}
	return answer, false
}

// wordsOf returns what a service said, without the wrapping that differs from service to service.
func wordsOf(err error) string {
	answer, ok := answerOf(err)
	if !ok {
		return err.Error()
	}
	prefix := ""
	if _, ok := errors.AsType[*loginError](err); ok {
		prefix = "log in to Keystone: "
	}
	text := message(answer.Body)
	if text == "" {
		text = string(bytes.TrimSpace(answer.Body))
	}
	return prefix + fmt.Sprintf("%.500s (%s)", text, strings.TrimSpace(strconv.Itoa(answer.Actual)+" "+http.StatusText(answer.Actual)))
}

// message finds the message in a service's answer: {"badRequest": {"message": …}} and the like.
func message(body []byte) string {
	var outer map[string]json.RawMessage
	if json.Unmarshal(body, &outer) != nil {
		return ""
	}
	for _, inner := range outer {
		var m struct{ Message string }
		if json.Unmarshal(inner, &m) == nil && m.Message != "" {
			return m.Message
		}
	}
	return ""
}

// failed says what was being done when a call failed.
func failed(err error, doing string, args ...any) error {
	return fmt.Errorf("openstack: %s: %w", fmt.Sprintf(doing, args...), classed(err))
}

// missing reports whether there is no such thing.
func missing(err error) bool { return gophercloud.ResponseCodeIs(err, http.StatusNotFound) }

// gone takes "there is no such thing" for success.
func gone(err error) error {
	if missing(err) {
		return nil
	}
	return err
}

// conflict reports whether a service refused because of the state of what was asked about.
func conflict(err error) bool { return gophercloud.ResponseCodeIs(err, http.StatusConflict) }

// pause waits a little longer each time it is asked, and no longer than ctx lasts.
type pause struct{ next time.Duration }

func (p *pause) wait(ctx context.Context) error {
	p.next = min(max(p.next*3/2, 100*time.Millisecond), 2*time.Second)
	t := time.NewTimer(p.next)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}
