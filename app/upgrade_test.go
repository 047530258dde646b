package app

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/troupe-dev/troupe/client"
)

// TestUpgrade starts on data folders that earlier commits wrote (scripts/fixture makes them): everything
// in them must be there.
func TestUpgrade(t *testing.T) {
	folders, err := filepath.Glob("testdata/data-*.tar.gz")
	if err != nil || len(folders) == 0 {
		t.Fatalf("no data folders: %v", err)
	}
	for _, archive := range folders {
		t.Run(filepath.Base(archive), func(t *testing.T) {
			dir := t.TempDir()
			// Processes of root's servers run as nobody, who must get to their folders.
			if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.CommandContext(t.Context(), "tar", "-xzf", archive, "-C", dir).CombinedOutput(); err != nil {
				t.Fatalf("unpack: %v: %s", err, out)
			}
			a, _ := serve(t, Options{DataDir: filepath.Join(dir, "data"), Listen: "127.0.0.1:0", Accounts: []Account{{Driver: "sim"}, {Driver: "process"}},
				Supervisor: []string{"/bin/false"}})
			awaitReady(t, a)
			c, err := client.New(a.Addrs()["main"], client.Options{User: "oneadmin", Password: "first-password-1"})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			lookAround(t, c)
		})
	}
}

func lookAround(t *testing.T, c *client.Client) {
	t.Helper()
	shop, err := c.Services().Get(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	db, app := shop.Role("db"), shop.Role("app")
	if db == nil || app == nil || db.Cardinality != 2 || app.Cardinality != 4 || *app.Max != 6 || !slices.Equal(app.Parents, []string{"db"}) || app.Machine != "small" {
		t.Errorf("shop: %+v, %+v", db, app)
	}
	if old, err := c.Services().Get(t.Context(), "old"); err != nil || old.State != "DONE" {
		t.Errorf("old: %+v, %v", old, err)
	}
	templates, err := c.Templates().List(t.Context(), "")
	if err != nil || len(templates) != 1 || templates[0].Name != "kept" {
		t.Errorf("templates %+v, %v", templates, err)
	}
	users, err := c.Users().List(t.Context())
	if err != nil || len(users) != 2 || users[1].Name != "ann" {
		t.Errorf("users %+v, %v", users, err)
	}
}
