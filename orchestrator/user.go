package orchestrator

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/uuid"
	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"
)

// A User is one that the agents on a service's machines log in as, to send their metrics.
type User struct {
	ID       string // what DeleteUser wants
	Name     string
	Password string
}

// agentRole is what agents may: send metrics.
const agentRole = "monasca-agent"

// CreateUser makes a user of the tenant for agents. An OpenStack lets administrators alone do so. With Troupe's own
// identity service any member may: what is made is an application credential, whose secret is the password.
func (c *Cloud) CreateUser(ctx context.Context) (User, error) {
	ctx = context.WithoutCancel(ctx) // as in CreateStack
	client, s, err := c.identity(ctx)
	if err != nil {
		return User{}, err
	}
	u, err := c.createUser(ctx, client, s)
	if gophercloud.ResponseCodeIs(err, http.StatusForbidden) || gophercloud.ResponseCodeIs(err, http.StatusNotFound) {
		var refusal error
		if u, refusal = c.createCredential(ctx, client, s); refusal != nil {
			err = errors.Join(err, refusal)
		} else {
			err = nil
		}
	}
	if err != nil {
		return User{}, fmt.Errorf("make a user for agents: %w", err)
	}
	return u, nil
}

// identity returns a client for the identity service.
func (c *Cloud) identity(ctx context.Context) (*gophercloud.ServiceClient, *scope, error) {
	s, err := c.enter(ctx)
	if err != nil {
		return nil, nil, err
	}
	design, err := c.Design()
	if err != nil {
		return nil, nil, err
	}
	return c.service(s.token, design), s, nil
}

var created = &gophercloud.RequestOpts{OkCodes: []int{http.StatusCreated}}

// createUser makes a user with the role of agents in the tenant.
func (c *Cloud) createUser(ctx context.Context, client *gophercloud.ServiceClient, s *scope) (User, error) {
	u := User{Name: "so-agent-" + uuid.NewString(), Password: rand.Text()}
	var made struct{ User struct{ ID string } }
	if _, err := client.Post(ctx, client.ServiceURL("users"),
		map[string]any{"user": map[string]any{"name": u.Name, "password": u.Password, "default_project_id": s.projectID}}, &made, created); err != nil {
		return User{}, err
	}
	u.ID = made.User.ID
	var roles struct{ Roles []struct{ ID string } }
	_, err := client.Get(ctx, client.ServiceURL("roles")+"?name="+url.QueryEscape(agentRole), &roles, nil)
	if err == nil && len(roles.Roles) == 0 {
		err = fmt.Errorf("the identity service has no role %s", agentRole)
	}
	if err == nil {
		_, err = client.Put(ctx, client.ServiceURL("projects", s.projectID, "users", u.ID, "roles", roles.Roles[0].ID), nil, nil, &gophercloud.RequestOpts{OkCodes: []int{http.StatusNoContent}})
	}
	if err != nil {
		_, left := client.Delete(context.WithoutCancel(ctx), client.ServiceURL("users", u.ID), nil)
		return User{}, errors.Join(err, left)
	}
	return u, nil
}

// createCredential makes an application credential of the caller, and sees whether it is good as a password.
func (c *Cloud) createCredential(ctx context.Context, client *gophercloud.ServiceClient, s *scope) (User, error) {
	me, err := tokens.Get(ctx, client, s.token).ExtractUser()
	if err != nil {
		return User{}, err
	}
	var made struct {
		Credential struct{ ID, Secret string } `json:"application_credential"`
	}
	if _, err := client.Post(ctx, client.ServiceURL("users", me.ID, "application_credentials"), map[string]any{"application_credential": map[string]any{
		"name": "so-agent-" + uuid.NewString(), "roles": []map[string]any{{"name": agentRole}}}}, &made, created); err != nil {
		return User{}, err
	}
	u := User{ID: me.ID + "/" + made.Credential.ID, Name: me.Name, Password: made.Credential.Secret}
	login := tokens.Create(ctx, client, &tokens.AuthOptions{UserID: me.ID, Password: u.Password, Scope: tokens.Scope{ProjectID: s.projectID}})
	if login.Err != nil {
		return User{}, errors.Join(fmt.Errorf("log in with it: %w", login.Err), c.DeleteUser(context.WithoutCancel(ctx), u.ID))
	}
	return u, nil
}

// DeleteUser removes what CreateUser made. One that is gone is no error.
func (c *Cloud) DeleteUser(ctx context.Context, id string) error {
	client, _, err := c.identity(ctx)
	if err != nil {
		return err
	}
	at := client.ServiceURL("users", id)
	if user, credential, ok := strings.Cut(id, "/"); ok {
		at = client.ServiceURL("users", user, "application_credentials", credential)
	}
	if _, err := client.Delete(ctx, at, nil); err != nil && !gophercloud.ResponseCodeIs(err, http.StatusNotFound) {
		return fmt.Errorf("remove the user %s: %w", id, err)
	}
	return nil
}
