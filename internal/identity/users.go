package identity

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/troupe-dev/troupe/internal/nearest"
)

// A User is somebody who may log in. Its password is not part of it.
type User struct {
	ID       int       `json:"id"`
	Name     string    `json:"name"`
	Group    int       `json:"group"`  // primary: new objects belong to it
	Groups   []int     `json:"groups"` // all, the primary one among them, sorted
	Disabled bool      `json:"disabled,omitempty"`
	Grants   []Grant   `json:"grants,omitempty"`
	Created  time.Time `json:"created"`
	// Foreign is whom of another identity service the user stands for; see Guest. Its name stays.
	Foreign  string `json:"foreign,omitempty"`
	Revision int64  `json:"-"` // of the store; changes with every change
}

// In reports whether the user is a member of the group.
func (u *User) In(group int) bool { return slices.Contains(u.Groups, group) }

func (u User) clone() User {
	u.Groups, u.Grants = slices.Clone(u.Groups), slices.Clone(u.Grants)
	return u
}

type userRecord struct {
	Version int `json:"v"`
	User
	Password string `json:"password,omitempty"`
}

func userKey(id int) string { return userPrefix + strconv.Itoa(id) }

func encodeUser(u *user) Record {
	return encode(userKey(u.ID), userRecord{recordVersion, u.User, u.password})
}

func (d *Directory) applyUser(r Record) error {
	id, err := keyID(r, userPrefix)
	if err != nil {
		return err
	}
	old := d.users[id]
	if old != nil && old.Revision > r.Revision {
		return nil
	}
	var rec userRecord
	if r.Value != nil {
		if err := decode(r, &rec, &rec.Version); err != nil {
			return err
		}
	}
	if old != nil {
		delete(d.users, id)
		if d.userNames[old.Name] == old {
			delete(d.userNames, old.Name)
		}
	}
	if r.Value != nil {
		u := &user{User: rec.User, password: rec.Password}
		u.ID, u.Revision = id, r.Revision
		d.users[id], d.userNames[u.Name] = u, u
	}
	return nil
}

// Users returns all users by id.
func (d *Directory) Users() []User {
	d.mu.RLock()
	defer d.mu.RUnlock()
	out := make([]User, 0, len(d.users))
	for _, u := range d.users {
		out = append(out, u.clone())
	}
	slices.SortFunc(out, func(a, b User) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// User returns one user.
func (d *Directory) User(id int) (User, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if u := d.users[id]; u != nil {
		return u.clone(), nil
	}
	return User{}, noUser(id)
}

// UserNamed returns the user with that name. If there is none, the error may say which was meant:
// show it to administrators only.
func (d *Directory) UserNamed(name string) (User, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if u := d.userNames[name]; u != nil {
		return u.clone(), nil
	}
	return User{}, fmt.Errorf("no user %q: %w%s", name, ErrNotFound, nearest.Hint(name, slices.Collect(maps.Keys(d.userNames))))
}

// UserName returns the name of the user, or its id as text when the user is gone.
func (d *Directory) UserName(id int) string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if u := d.users[id]; u != nil {
		return u.Name
	}
	return strconv.Itoa(id)
}

// NewUser says what AddUser makes.
type NewUser struct {
	Name     string
	Password string // "" for a user that has tokens only
	Group    *int   // primary; nil for "users"
	Groups   []int  // besides the primary one
	Grants   []Grant
}

// AddUser makes a user. Errors are of class ErrInvalid, ErrExists or ErrNotFound (a group).
func (d *Directory) AddUser(ctx context.Context, n NewUser) (User, error) {
	hash := ""
	if err := checkName("user", n.Name); err != nil {
		return User{}, err
	}
	if n.Password != "" {
		var err error
		if hash, err = d.newHash(ctx, n.Password); err != nil {
			return User{}, err
		}
	}
	u := User{Name: n.Name, Group: UsersGroup, Groups: n.Groups, Grants: n.Grants, Created: time.Now().UTC()}
	if n.Group != nil {
		u.Group = *n.Group
	}
	err := d.change(ctx, func(next *serial) ([]Record, error) {
		u.ID = next.Users
		next.Users++
		if err := d.validateUser(&u); err != nil {
			return nil, err
		}
		return []Record{encodeUser(&user{User: u, password: hash})}, nil
	})
	if err != nil {
		return User{}, fmt.Errorf("add user %q: %w", n.Name, err)
	}
	return d.User(u.ID)
}

// ChangeUser lets edit change the user: name, groups, disabled and grants, nothing else. Edit may
// run several times and may refuse with an error, for instance when u.Revision is not the one that
// its client saw. Remembered logins of a user that is disabled end at once.
func (d *Directory) ChangeUser(ctx context.Context, id int, edit func(u *User) error) (User, error) {
	err := d.changeUser(ctx, id, func(u *user) error {
		was := u.User
		if err := edit(&u.User); err != nil {
			return err
		}
		u.ID, u.Created, u.Foreign, u.Revision = was.ID, was.Created, was.Foreign, was.Revision
		if was.Foreign != "" && u.Name != was.Name {
			return fmt.Errorf("user %q: %w: it stands for another service's user, and keeps its name", was.Name, ErrInvalid)
		}
		if err := checkName("user", u.Name); err != nil {
			return err
		}
		return d.validateUser(&u.User)
	})
	if err != nil {
		return User{}, fmt.Errorf("change user %d: %w", id, err)
	}
	return d.User(id)
}

// SetPassword gives the user a new password, or none with "". Remembered logins end at once.
func (d *Directory) SetPassword(ctx context.Context, id int, password string) error {
	hash := ""
	if password != "" {
		var err error
		if hash, err = d.newHash(ctx, password); err != nil {
			return err
		}
	}
	err := d.changeUser(ctx, id, func(u *user) error {
		u.password = hash
		return nil
	})
	if err != nil {
		return fmt.Errorf("set the password of user %d: %w", id, err)
	}
	return nil
}

// RemoveUser removes the user with all tokens. Whether it owns anything is the caller's to ask.
func (d *Directory) RemoveUser(ctx context.Context, id int) error {
	err := d.change(ctx, func(*serial) ([]Record, error) {
		d.mu.RLock()
		defer d.mu.RUnlock()
		if d.users[id] == nil {
			return nil, noUser(id)
		}
		if id == AdminUser {
			return nil, fmt.Errorf("%w: user 0 cannot be removed", ErrInvalid)
		}
		records := []Record{{Key: userKey(id)}}
		for _, t := range d.tokens {
			if t.User == id {
				records = append(records, Record{Key: tokenKeys + t.ID})
			}
		}
		return records, nil
	})
	if err != nil {
		return fmt.Errorf("remove user %d: %w", id, err)
	}
	return nil
}

func (d *Directory) changeUser(ctx context.Context, id int, edit func(*user) error) error {
	return d.change(ctx, func(*serial) ([]Record, error) {
		d.mu.RLock()
		old := d.users[id]
		d.mu.RUnlock()
		if old == nil {
			return nil, noUser(id)
		}
		u := &user{User: old.clone(), password: old.password}
		if err := edit(u); err != nil {
			return nil, err
		}
		return []Record{encodeUser(u)}, nil
	})
}

func (d *Directory) newHash(ctx context.Context, password string) (string, error) {
	if err := checkPassword(password); err != nil {
		return "", err
	}
	return d.hasher.hash(ctx, password)
}

// validateUser checks u against the others and puts its groups in order.
func (d *Directory) validateUser(u *User) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if other := d.userNames[u.Name]; other != nil && other.ID != u.ID {
		return fmt.Errorf("user %q: %w", u.Name, ErrExists)
	}
	groups := append(slices.Clone(u.Groups), u.Group)
	slices.Sort(groups)
	u.Groups = slices.Compact(groups)
	for _, id := range u.Groups {
		if d.groups[id] == nil {
			return noGroup(id)
		}
	}
	if u.ID == AdminUser && (u.Disabled || !u.In(AdminGroup)) {
		return fmt.Errorf("%w: user 0 cannot be disabled or leave group 0: nobody could undo it", ErrInvalid)
	}
	return checkGrants(u.Grants)
}

func noUser(id int) error { return fmt.Errorf("user %d: %w", id, ErrNotFound) }

// maxName is how many characters a name may have.
const maxName = 128

// isName reports whether a name may stand in Basic credentials, paths and file names: no colon, slash, space or control.
// A regular expression of this takes 5 MB, which every command would start with.
func isName(name string) bool {
	if name == "" || len(name) > maxUserField || utf8.RuneCountInString(name) > maxName || !utf8.ValidString(name) {
		return false
	}
	for i, r := range name {
		if !unicode.IsLetter(r) && !unicode.IsNumber(r) && r != '_' && (i == 0 || !strings.ContainsRune(".@+-", r)) {
			return false
		}
	}
	return true
}

func checkName(kind, name string) error {
	if !isName(name) {
		return fmt.Errorf("%s name %.40q: %w: give 1 to 128 letters, digits or . _ @ + -, with a letter, digit or _ first", kind, name, ErrInvalid)
	}
	return nil
}
