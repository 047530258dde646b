package orchestrator

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/troupe-dev/troupe/occi"
)

// maxNotification is how many bytes a notification in JSON may have.
const maxNotification = 1 << 20

// notification returns the request as OCCI, where it is a notification in one of two other forms: Monasca's own webhook, whose body
// is JSON, and that of an early release, which sent nothing but the alarm's name as the value of the header.
func notification(w http.ResponseWriter, r *http.Request) (*http.Request, error) {
	if r.Method != http.MethodPost || r.URL.Query().Get("action") != notify.Term() {
		return r, nil
	}
	name := ""
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media == "application/json" {
		text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxNotification))
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return r, occi.Errorf(http.StatusRequestEntityTooLarge, "A notification has at most %d bytes.", tooLarge.Limit)
		}
		if err != nil {
			return r, occi.Errorf(http.StatusBadRequest, "The body could not be read: %w", err)
		}
		var webhook struct {
			Name string `json:"alarm_name"`
		}
		if err := json.Unmarshal(text, &webhook); err != nil || webhook.Name == "" {
			return r, occi.Errorf(http.StatusBadRequest, "A notification in JSON needs the alarm's name as alarm_name.")
		}
		name = webhook.Name
	} else if values := r.Header["X-Occi-Attribute"]; len(values) == 1 && !strings.ContainsAny(values[0], "=,") {
		name = strings.Trim(strings.TrimSpace(values[0]), `"`)
	}
	if name == "" {
		return r, nil
	}
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\r", " ", "\n", " ").Replace(name)
	r = r.Clone(r.Context())
	r.Header.Set("Content-Type", occi.TextOCCI)
	r.Header.Set("Category", notify.Term()+`; scheme="`+Scheme+`"; class="action"`)
	r.Header.Set("X-OCCI-Attribute", AttrAlarm+`="`+quoted+`"`)
	r.Body, r.ContentLength = http.NoBody, 0
	return r, nil
}
