package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

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
