package native

import (
	"context"
	"maps"
	"slices"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/alerting"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/notify"
)

// method shows a notification method without its secrets.
func method(m alerting.Method) client.NotificationMethod {
	out := client.NotificationMethod{ID: m.ID, Name: m.Name, Type: string(m.Type), Address: m.Shown(), Period: m.Period, Headers: slices.Sorted(maps.Keys(m.Headers)),
		Template: m.Template, Extra: m.Extra, Created: m.Created.UTC(), Updated: m.Updated.UTC()}
	if m.Secret != "" {
		out.Secret = driver.Redacted
	}
	return out
}

type listMethods struct {
	Tenant
	Paging
}

func (f *face) listMethods(_ context.Context, who *identity.Caller, in *listMethods) (*answer[client.Page[client.NotificationMethod]], error) {
	list, err := f.control.Methods(who, in.Project)
	if err != nil {
		return nil, err
	}
	return answered(part(list, &in.Paging, func(m alerting.Method) string { return m.Name + "\x00" + m.ID }, method))
}

// OneMethod is the path of a notification method.
type OneMethod struct {
	Tenant
	Method string `path:"method" doc:"A notification method, by id or name."`
}

func (f *face) getMethod(_ context.Context, who *identity.Caller, in *OneMethod) (*answer[client.NotificationMethod], error) {
	m, err := f.control.Method(who, in.Project, in.Method)
	return answered(method(m), err)
}

type addMethod struct {
	Tenant
	Body client.PutNotificationMethod
}

func (f *face) addMethod(ctx context.Context, who *identity.Caller, in *addMethod) (*answer[client.NotificationMethod], error) {
	return f.putMethod(ctx, who, in.Project, "", &in.Body)
}

type changeMethod struct {
	OneMethod
	Body client.PutNotificationMethod
}

func (f *face) changeMethod(ctx context.Context, who *identity.Caller, in *changeMethod) (*answer[client.NotificationMethod], error) {
	return f.putMethod(ctx, who, in.Project, in.Method, &in.Body)
}

func (f *face) putMethod(ctx context.Context, who *identity.Caller, project, ref string, w *client.PutNotificationMethod) (*answer[client.NotificationMethod], error) {
	m, err := f.control.PutMethod(ctx, who, project, ref, func(m *notify.Method) error {
		given(&m.Name, w.Name)
		if w.Type != nil {
			m.Type = notify.ParseType(*w.Type)
		}
		given(&m.Address, w.Address)
		given(&m.Period, w.Period)
		given(&m.Secret, w.Secret)
		given(&m.Headers, w.Headers)
		given(&m.Template, w.Template)
		given(&m.Extra, w.Extra)
		return nil
	})
	return answered(method(m), err)
}

func (f *face) removeMethod(ctx context.Context, who *identity.Caller, in *OneMethod) (*none, error) {
	return nil, f.control.RemoveMethod(ctx, who, in.Project, in.Method)
}

type listDeliveries struct {
	Tenant
	Paging
	Method string `query:"method" doc:"Only those by this method, by id or name."`
}

func (f *face) listDeliveries(_ context.Context, who *identity.Caller, in *listDeliveries) (*answer[client.Page[client.Delivery]], error) {
	id := ""
	if in.Method != "" {
		m, err := f.control.Method(who, in.Project, in.Method)
		if err != nil {
			return nil, err
		}
		id = m.ID
	}
	list, err := f.control.Deliveries(who, in.Project, id)
	if err != nil {
		return nil, err
	}
	return answered(part(list, &in.Paging, func(d notify.Delivery) string { return numberKey(uint64(d.Since.UnixNano())) + d.ID }, delivery))
}

func delivery(d notify.Delivery) client.Delivery {
	m := d.Message
	out := client.Delivery{ID: d.ID, Method: d.Method, Alarm: m.Alarm, Name: m.Name, State: m.State, Time: m.Time.UTC(), Test: m.Test, Phase: string(d.Phase),
		Tries: d.Tries, Next: later(d.Next), Ended: later(d.Ended), Reason: d.Reason}
	if d.Phase == notify.Dead {
		out.Next = nil
	}
	return out
}

type oneDelivery struct {
	Tenant
	Delivery string `path:"delivery" doc:"Id of a notification."`
}

func (f *face) resend(ctx context.Context, who *identity.Caller, in *oneDelivery) (*none, error) {
	return nil, f.control.Resend(ctx, who, in.Project, in.Delivery)
}

func (f *face) discard(ctx context.Context, who *identity.Caller, in *oneDelivery) (*none, error) {
	return nil, f.control.Discard(ctx, who, in.Project, in.Delivery)
}
