package openstack

import (
	"cmp"
	"fmt"

	"github.com/troupe-dev/troupe/internal/openrc"
)

// A Service is whoever validates tokens: a user in a project, or an application credential.
type Service struct {
	User, UserDomain       Reference
	Password               string
	Project, ProjectDomain Reference
	// Credential is the id of an application credential, which needs none of the above, and Secret its secret.
	Credential, Secret string
}

// A Reference is what Keystone finds something by: the id, or the name.
type Reference struct {
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
}

// ReadService reads an openrc file: lines such as export OS_USERNAME=monasca.
func ReadService(file string) (Service, error) {
	values, err := openrc.Read(file)
	if err != nil {
		return Service{}, fmt.Errorf("read the service user of Keystone: %w", err)
	}
	if id := values["OS_APPLICATION_CREDENTIAL_ID"]; id != "" {
		s := Service{Credential: id, Secret: values["OS_APPLICATION_CREDENTIAL_SECRET"]}
		return s, missing(file, "OS_APPLICATION_CREDENTIAL_SECRET", s.Secret)
	}
	s := Service{User: reference(values, "OS_USER_ID", "OS_USERNAME"), UserDomain: domain(values, "OS_USER_DOMAIN"), Password: values["OS_PASSWORD"],
		Project: reference(values, "OS_PROJECT_ID", "OS_PROJECT_NAME"), ProjectDomain: domain(values, "OS_PROJECT_DOMAIN")}
	if s.Project == (Reference{}) {
		s.Project = reference(values, "OS_TENANT_ID", "OS_TENANT_NAME")
	}
	return s, cmp.Or(missing(file, "OS_USERNAME", s.User.ID+s.User.Name), missing(file, "OS_PASSWORD", s.Password), missing(file, "OS_PROJECT_NAME", s.Project.ID+s.Project.Name))
}

func missing(file, name, value string) error {
	if value == "" {
		return fmt.Errorf("%s: %s is missing", file, name)
	}
	return nil
}

// reference prefers the id where a file holds both, as clients do.
func reference(values map[string]string, id, name string) Reference {
	if v := values[id]; v != "" {
		return Reference{ID: v}
	}
	return Reference{Name: values[name]}
}

// domain is what a file names, or the one that every Keystone has.
func domain(values map[string]string, prefix string) Reference {
	return cmp.Or(reference(values, prefix+"_ID", prefix+"_NAME"), Reference{ID: "default"})
}

// request is the body by which the service logs in.
func (s *Service) request() any {
	type object = map[string]any
	if s.Credential != "" { // its project is the one that it was made in
		return object{"auth": object{"identity": object{"methods": []string{"application_credential"},
			"application_credential": object{"id": s.Credential, "secret": s.Secret}}}}
	}
	user := object{"password": s.Password}
	in(user, s.User, s.UserDomain)
	project := object{}
	in(project, s.Project, s.ProjectDomain)
	return object{"auth": object{
		"identity": object{"methods": []string{"password"}, "password": object{"user": user}},
		"scope":    object{"project": project},
	}}
}

// in says who or what is meant: a name needs its domain, an id does not.
func in(o map[string]any, r, domain Reference) {
	if r.ID != "" {
		o["id"] = r.ID
		return
	}
	o["name"], o["domain"] = r.Name, domain
}
