package oneflow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strconv"

	"github.com/troupe-dev/troupe/internal/api"
	format "github.com/troupe-dev/troupe/internal/format/oneflow"
	"github.com/troupe-dev/troupe/internal/identity"
)

// The types of document.
const (
	serviceType  = 100
	templateType = 101
)

// A request is what a route sees.
type request struct {
	*http.Request
	who *identity.Caller
}

// id is the number in the path. What is no number is the id of nothing.
func (r *request) id() (uint64, error) {
	text := r.PathValue("id")
	id, err := strconv.ParseUint(text, 10, 63)
	if err != nil || id == 0 {
		return 0, noDocument(text, "")
	}
	return id, nil
}

// An answer is the status and the body of a response: a value, a pool of documents, or nothing.
type answer struct {
	status int
	body   any
	pool   iter.Seq[*format.Object]
}

var noContent = answer{status: http.StatusNoContent}

func (a answer) write(w http.ResponseWriter) {
	switch {
	case a.pool != nil:
		writePool(w, a.pool)
	case a.body != nil:
		writeJSON(w, a.status, a.body)
	default:
		w.WriteHeader(a.status)
	}
}

// writePool prints one document after the other: all at once may be more than the memory. An empty
// pool has no key (specification, section 4).
func writePool(w http.ResponseWriter, documents iter.Seq[*format.Object]) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	before := "{\n  \"DOCUMENT_POOL\": {\n    \"DOCUMENT\": [\n      "
	end := "{\n  \"DOCUMENT_POOL\": {}\n}\n"
	var b bytes.Buffer
	for d := range documents {
		b.WriteString(before)
		printJSON(&b, d, "      ")
		if _, err := w.Write(b.Bytes()); err != nil {
			return // the client is lost
		}
		b.Reset()
		before, end = ",\n      ", "\n    ]\n  }\n}\n"
	}
	_, _ = io.WriteString(w, end) // a lost client has nobody to tell
}

// writeJSON answers with a value.
func writeJSON(w http.ResponseWriter, status int, v any) {
	var b bytes.Buffer
	printJSON(&b, v, "")
	b.WriteByte('\n')
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // a lost client has nobody to tell
}

// printJSON indents with two spaces: people read it on terminals.
func printJSON(b *bytes.Buffer, v any, prefix string) {
	var raw []byte
	var err error
	if o, ok := v.(*format.Object); ok {
		raw, err = o.MarshalJSON() // json.Marshal would read it all again
	} else {
		raw, err = json.Marshal(v)
	}
	if err == nil {
		err = json.Indent(b, raw, prefix, "  ")
	}
	if err != nil { // objects, lists, texts and numbers always encode
		panic(fmt.Sprintf("oneflow: an answer cannot be encoded: %v", err))
	}
}

// object builds an object from keys and values in turn.
func object(pairs ...any) *format.Object {
	o := new(format.Object)
	for n := 0; n < len(pairs); n += 2 {
		o.Set(pairs[n].(string), pairs[n+1])
	}
	return o
}

func number[N ~int | ~int64 | ~uint32 | ~uint64 | ~uint8](n N) json.Number {
	return json.Number(strconv.FormatInt(int64(n), 10))
}

func text[N ~int | ~int64 | ~uint64](n N) string { return strconv.FormatInt(int64(n), 10) }

// An envelope is what surrounds the body of a service or template.
type envelope struct {
	id           uint64
	owner, group int
	name         string
	kind         int
	permissions  identity.Bits
}

// document wraps a body (specification, section 4).
func (f *OneFlow) document(e envelope, body *format.Object) *format.Object {
	directory := f.Control.Directory()
	return object(
		"ID", text(e.id), "UID", text(e.owner), "GID", text(e.group),
		"UNAME", directory.UserName(e.owner), "GNAME", directory.GroupName(e.group),
		"NAME", e.name, "TYPE", text(e.kind),
		"PERMISSIONS", permissions(e.permissions),
		"TEMPLATE", object("BODY", body),
	)
}

func permissions(b identity.Bits) *format.Object {
	o := new(format.Object)
	for n, key := range [...]string{"OWNER_U", "OWNER_M", "OWNER_A", "GROUP_U", "GROUP_M", "GROUP_A", "OTHER_U", "OTHER_M", "OTHER_A"} {
		o.Set(key, strconv.Itoa(int(b>>(8-n)&1)))
	}
	return o
}

// one wraps a single document.
func one(status int, document *format.Object) answer {
	return answer{status: status, body: object("DOCUMENT", document)}
}

// parse reads the body as a JSON object, in which comments may stand, whatever its Content-Type.
func (r *request) parse() (*format.Body, error) {
	data, err := api.ReadBody(r.Request)
	if err != nil {
		return nil, err
	}
	return format.Parse(data)
}
