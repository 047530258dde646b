package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/client"
)

// splitRole cuts SERVICE/ROLE, where SERVICE may itself be PROJECT/NAME.
func splitRole(place string) (service, role string, err error) {
	i := strings.LastIndexByte(place, '/')
	if i <= 0 || i == len(place)-1 {
		return "", "", usageError("%q: name a role as SERVICE/ROLE", place)
	}
	return place[:i], place[i+1:], nil
}

// A place is what SERVICE[/ROLE[/N]] names.
type place struct {
	service  string           // its number
	role     string           // "" for the whole service
	instance *client.Instance // nil for the whole role
}

// findPlace finds what SERVICE[/ROLE[/N]] names, where SERVICE may be PROJECT/NAME.
func findPlace(ctx context.Context, c *client.Client, name string) (place, error) {
	s, err := c.Services().Get(ctx, name)
	if err == nil {
		return place{service: s.Ref()}, nil
	}
	rest, last, bad := splitRole(name)
	if bad != nil || !client.IsNotFound(err) {
		return place{}, err
	}
	if s, err = c.Services().Get(ctx, rest); err == nil {
		return place{service: s.Ref(), role: last}, nil
	}
	if _, _, bad := splitRole(rest); bad != nil || !client.IsNotFound(err) {
		return place{}, err
	}
	service, i, err := findInstance(ctx, c, name)
	return place{service: service, role: i.Role, instance: &i}, err
}

// atInstance returns a RunE that calls run with the instance that the first argument names.
func atInstance(t *terminal, run func(ctx context.Context, c *client.Client, service string, serial uint32, args []string) error) func(*cobra.Command, []string) error {
	return calling(t, func(ctx context.Context, c *client.Client, args []string) error {
		service, i, err := findInstance(ctx, c, args[0])
		if err != nil {
			return err
		}
		return run(ctx, c, service, i.Serial, args[1:])
	})
}

// findInstance finds the instance that SERVICE/ROLE/N names; SERVICE/ROLE is enough for a role of one.
func findInstance(ctx context.Context, c *client.Client, place string) (service string, i client.Instance, err error) {
	rest, last, err := splitRole(place)
	if err != nil {
		return "", i, err
	}
	if n, err := strconv.ParseUint(last, 10, 32); err == nil {
		service, role, err := splitRole(rest)
		if err != nil {
			return "", i, usageError("%q: name an instance as SERVICE/ROLE/N", place)
		}
		i, err = instanceOf(ctx, c, service, role, func(i *client.Instance) bool { return i.Number == uint32(n) })
		return service, i, err
	}
	i, err = instanceOf(ctx, c, rest, last, func(*client.Instance) bool { return true })
	return rest, i, err
}

// instanceOf returns the one instance of the role that ok picks.
func instanceOf(ctx context.Context, c *client.Client, service, role string, ok func(*client.Instance) bool) (client.Instance, error) {
	var found []client.Instance
	var there []string
	for i, err := range c.Services().Instances(ctx, service, client.InstanceFilter{Role: role}) {
		if err != nil {
			return client.Instance{}, err
		}
		there = append(there, fmt.Sprintf("%s/%d", i.Role, i.Number))
		if ok(&i) {
			found = append(found, i)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return client.Instance{}, usageError("role %s has several instances (%s): name one as SERVICE/ROLE/N", role, strings.Join(there[:min(len(there), 10)], ", "))
	case len(there) == 0:
		return client.Instance{}, withCode(exitNotFound, fmt.Errorf("service %s has no instance of a role %s; see `troupe ps %s`", service, role, service))
	}
	return client.Instance{}, withCode(exitNotFound, fmt.Errorf("no such instance; there are %s", strings.Join(there[:min(len(there), 10)], ", ")))
}
