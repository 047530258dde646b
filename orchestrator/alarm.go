package orchestrator

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/uuid"
	"github.com/gophercloud/gophercloud/v2"
)

// monitoring is the type of the service that watches metrics.
const monitoring = "monitoring"

// An AlarmState is what an alarm enters when it tells the orchestrator.
type AlarmState string

// The states of alarms. An alarm is Undetermined when what it looks at has gone silent.
const (
	OK           AlarmState = "ok"
	Alarm        AlarmState = "alarm"
	Undetermined AlarmState = "undetermined"
)

// An AlarmID identifies what [Cloud.Notify] made. It is a text that can be kept.
type AlarmID string

// Notify makes an alarm that tells an orchestrator, at its own URL, each time when it enters a state. It returns the name by which
// the orchestrator will be told of it, which no other alarm has, and what removes it.
func (c *Cloud) Notify(ctx context.Context, expression, url string, on AlarmState) (name string, id AlarmID, err error) {
	ctx = context.WithoutCancel(ctx) // as in CreateStack
	client, err := c.to(ctx, monitoring)
	if err != nil {
		return "", "", err
	}
	name = "so-" + uuid.NewString()
	var method, definition struct {
		ID string `json:"id"`
	}
	made := &gophercloud.RequestOpts{OkCodes: []int{http.StatusOK, http.StatusCreated}}
	if _, err = client.Post(ctx, client.ServiceURL("notification-methods"), map[string]any{"name": name, "type": "OCCI_WEBHOOK", "address": url}, &method, made); err != nil {
		return "", "", fmt.Errorf("have notifications sent to %s: %w", url, err)
	}
	if _, err = client.Post(ctx, client.ServiceURL("alarm-definitions"),
		map[string]any{"name": name, "expression": expression, string(on) + "_actions": []string{method.ID}}, &definition, made); err != nil {
		id = AlarmID("/" + method.ID)
		if e := c.DisposeAlarm(context.WithoutCancel(ctx), id); e == nil {
			id = ""
		}
		return "", id, fmt.Errorf("define the alarm %s: %w", expression, err)
	}
	return name, AlarmID(definition.ID + "/" + method.ID), nil
}

// DisposeAlarm removes an alarm and the notifications that it sends. One that is gone is no error.
func (c *Cloud) DisposeAlarm(ctx context.Context, id AlarmID) error {
	client, err := c.to(ctx, monitoring)
	if err != nil {
		return err
	}
	definition, method, _ := strings.Cut(string(id), "/")
	if definition != "" {
		if _, err := client.Delete(ctx, client.ServiceURL("alarm-definitions", definition), nil); err != nil && !gophercloud.ResponseCodeIs(err, http.StatusNotFound) {
			return fmt.Errorf("remove the alarm %s: %w", definition, err)
		}
	}
	if method != "" {
		if _, err := client.Delete(ctx, client.ServiceURL("notification-methods", method), nil); err != nil && !gophercloud.ResponseCodeIs(err, http.StatusNotFound) {
			return fmt.Errorf("remove the notifications %s: %w", method, err)
		}
	}
	return nil
}

// text is a value as attributes show it.
func text(v any) (string, error) {
	if s, ok := v.(string); ok {
		return s, nil
	}
	if v == nil {
		return "", nil
	}
	b, err := json.Marshal(v)
	return string(b), err
}
