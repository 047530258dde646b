package openstack

import (
	"cmp"
	"fmt"
	"os"
	"strings"
)

// A Service is the user by whose name tokens are validated.
type Service struct {
	User, Password, UserDomain, Project, ProjectDomain string
}

// ReadService reads an openrc file: lines such as export OS_USERNAME=monasca.
func ReadService(file string) (Service, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return Service{}, fmt.Errorf("read the service user of Keystone: %w", err)
	}
	values := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "export ")
		name, value, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		values[strings.TrimSpace(name)] = value
	}
	s := Service{User: values["OS_USERNAME"], Password: values["OS_PASSWORD"], UserDomain: cmp.Or(values["OS_USER_DOMAIN_NAME"], "Default"),
		Project: cmp.Or(values["OS_PROJECT_NAME"], values["OS_TENANT_NAME"]), ProjectDomain: cmp.Or(values["OS_PROJECT_DOMAIN_NAME"], "Default")}
	for name, value := range map[string]string{"OS_USERNAME": s.User, "OS_PASSWORD": s.Password, "OS_PROJECT_NAME": s.Project} {
		if value == "" {
			return Service{}, fmt.Errorf("%s: %s is missing", file, name)
		}
	}
	return s, nil
}

// request is the body by which the service logs in.
func (s *Service) request() any {
	type object = map[string]any
	return object{"auth": object{
		"identity": object{"methods": []string{"password"}, "password": object{"user": object{"name": s.User, "password": s.Password, "domain": object{"name": s.UserDomain}}}},
		"scope":    object{"project": object{"name": s.Project, "domain": object{"name": s.ProjectDomain}}},
	}}
}
