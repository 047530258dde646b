package occopus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/troupe-dev/troupe/app"
	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/internal/format/occopus"
	"github.com/troupe-dev/troupe/internal/local"
)

// home returns the folder ~/.occopus.
func (r *run) home() (string, error) {
	home := r.Env("HOME")
	if home == "" {
		return "", errors.New("HOME is not set: there is no place for ~/.occopus")
	}
	return filepath.Join(home, ".occopus"), nil
}

// connect finds the server: the one that TROUPE_URL names, or that of the folder.
func (r *run) connect() (*client.Client, error) {
	if r.Env("TROUPE_URL") != "" {
		c, err := r.Connect()
		if err == nil {
			r.release = func() error { c.Close(); return nil }
		}
		return c, err
	}
	s, err := r.own(nil)
	if err != nil {
		return nil, err
	}
	return s.Client(), nil
}

// own opens the server of the folder ~/.occopus/troupe, with its options changed by adjust, if that is given. It is
// closed with the run.
func (r *run) own(adjust func(*app.Options)) (*local.Server, error) {
	home, err := r.home()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(home, "troupe")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the server: %w", err)
	}
	logFile, err := os.OpenFile(filepath.Join(dir, "log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the server's log: %w", err)
	}
	accounts, err := r.accounts(dir)
	if err != nil {
		return nil, errors.Join(err, logFile.Close())
	}
	o := app.Options{Accounts: accounts, TemplateCommands: true, Version: r.Version, Log: slog.New(slog.NewTextHandler(logFile, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	if adjust != nil {
		adjust(&o)
	}
	s, err := local.Open(dir, o)
	if err != nil {
		return nil, errors.Join(err, logFile.Close())
	}
	r.release = func() error { return errors.Join(s.Close(), logFile.Close()) }
	return s, nil
}

// shared are the permissions of what is imported: on a server of one's own the guest of its REST interface may use it.
func (r *run) shared() string {
	if r.Env("TROUPE_URL") != "" {
		return ""
	}
	return "644"
}

// settle reads the configuration and the authentication file. Those that nobody named need not be there.
func (r *run) settle(importing bool) error {
	home := r.Env("HOME")
	program, _ := os.Executable()
	search := occopus.Search{Getenv: r.Env, Home: home, Program: filepath.Dir(program), Exists: func(path string) bool {
		info, err := os.Stat(path)
		return err == nil && info.Mode().IsRegular()
	}}
	find := search.Configuration
	if importing {
		find = search.ImportConfiguration
	}
	at, err := r.find(find, r.options.config)
	if err != nil {
		return err
	}
	r.config = &occopus.Configuration{Host: "127.0.0.1", Port: 5000}
	if at != "" {
		text, err := os.ReadFile(at)
		if err != nil {
			return err
		}
		if r.config, err = occopus.ParseConfiguration(at, text, occopus.Options{Open: occopus.FromDisk}); err != nil {
			return r.refused(err)
		}
	}
	if err := r.openLog(r.config); err != nil || importing {
		return err
	}
	if at, err = r.find(search.Authentication, r.options.auth); err != nil || at == "" {
		return err
	}
	text, err := os.ReadFile(at)
	if err != nil {
		return err
	}
	if r.auth, err = occopus.ParseAuthentication(at, text, occopus.Options{Open: occopus.FromDisk}); err != nil {
		return r.refused(err)
	}
	return nil
}

// find returns where a file is, "" for nowhere.
func (r *run) find(in func(given string) (occopus.Place, error), given string) (string, error) {
	at, err := in(given)
	if err != nil {
		if given == "" {
			return "", nil
		}
		return "", failure{err.Error()}
	}
	if at.Notice != "" {
		fmt.Fprintln(r.Err, at.Notice)
	}
	return at.Path, nil
}

// refused tells what is wrong with a file: for people on standard error, with all places; what is returned is the line
// that Occopus prints.
func (r *run) refused(err error) error {
	var wrong *occopus.Invalid
	if !errors.As(err, &wrong) {
		return err
	}
	fmt.Fprintln(r.Err, wrong.Error())
	return failure{wrong.Compatible}
}

// warn logs what a file may not mean.
func (r *run) warn(warnings []occopus.Warning) {
	for _, w := range warnings {
		if w.Compatible != "" {
			r.logAt(levelWarning, "%s", w.Compatible)
		} else {
			r.logAt(levelWarning, "WARNING: %s", strings.TrimSpace(w.Error.Error()))
		}
	}
}

// infrastructure finds the service of an infrastructure. Its error tells with client.IsNotFound that there is none.
func infrastructure(ctx context.Context, c *client.Client, id string) (client.Service, error) {
	s, err := c.Services().Get(ctx, id)
	if client.IsNotFound(err) {
		if theirs, e := elsewhere(ctx, c, id); e != nil || theirs.ID != 0 {
			s, err = theirs, e
		}
	}
	if err == nil && s.Alias != id && s.Ref() != id && s.Project+"/"+s.Alias != id {
		return s, &client.Problem{Status: 404, Title: "Not Found", Detail: fmt.Sprintf("%q is the name of a service, not the id of an infrastructure", id)}
	}
	return s, err
}

// elsewhere finds the infrastructure in a project that is not the caller's own: guests of the REST interface have theirs
// in one. One that has not ended goes before those that have. Without any, the service has no number.
func elsewhere(ctx context.Context, c *client.Client, id string) (found client.Service, err error) {
	for s, err := range c.Services().List(ctx, client.ServiceFilter{Alias: id}) {
		switch {
		case err != nil:
			return client.Service{}, err
		case s.State == "DONE" && found.ID != 0:
		case s.State == "DONE" || found.ID == 0 || found.State == "DONE":
			found = s
		default:
			return client.Service{}, failed("the projects %s and %s each have an infrastructure %s: name it as PROJECT/%s", found.Project, s.Project, id, id)
		}
	}
	return found, nil
}
