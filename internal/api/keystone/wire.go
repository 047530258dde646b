package keystone

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/troupe-dev/troupe/internal/api"
)

// An object is a JSON object whose keys need no order.
type object = map[string]any

type baseKey struct{}

// withBase keeps how the client calls the face: "http://host:35357", or with the prefix behind.
func withBase(ctx context.Context, base string) context.Context {
	return context.WithValue(ctx, baseKey{}, base)
}

// self returns the URL of the face, as the client calls it.
func self(r *http.Request) string {
	base, _ := r.Context().Value(baseKey{}).(string)
	return base
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a lost client has nobody to tell
	return nil
}

// writeError answers {"error": {"code": …, "title": …, "message": …}}.
func (k *Keystone) writeError(w http.ResponseWriter, r *http.Request, err error) {
	p := api.ProblemOf(err)
	switch p.Status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Keystone uri="`+self(r)+`"`)
	case http.StatusInternalServerError:
		k.Log.Error("request failed", "request", api.RequestID(r.Context()), "error", err)
	}
	_ = writeJSON(w, p.Status, object{"error": object{"code": p.Status, "title": http.StatusText(p.Status), "message": p.Error()}}) // texts and numbers always marshal
}

// stamp is how v3 writes times, stampV2 how v2.0 does.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

func stampV2(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
