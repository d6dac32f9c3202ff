package identity_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/clock"
	"holdfast/internal/identity"
	"holdfast/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// world is a service on a fresh catalog.
type world struct {
	*identity.Service
	t     *testing.T
	db    *catalog.DB
	clock *clock.Fake
}

// cheap stands for argon2id where a test is not about it.
func cheap(password, salt []byte) []byte {
	sum := sha256.Sum256(append(append([]byte{}, salt...), password...))
	return sum[:]
}

// each runs a test on both databases.
func each(t *testing.T, test func(t *testing.T, w *world)) {
	t.Run("SQLite", func(t *testing.T) {
		test(t, newWorld(t, catalog.Config{Path: filepath.Join(t.TempDir(), "catalog.db")}))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		test(t, newWorld(t, catalog.Config{URL: pgtest.URL(t)}))
	})
}

func newWorld(t *testing.T, cfg catalog.Config) *world {
	t.Helper()
	w := &world{t: t, clock: clock.NewFake(start)}
	cfg.Clock = w.clock
	db, err := catalog.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	w.db = db
	w.Service = w.another()
	return w
}

// another is another process on the same catalog.
func (w *world) another() *identity.Service {
	s := identity.New(identity.Config{DB: w.db, Clock: w.clock, Rand: rand.Reader})
	s.SetDerive(cheap)
	return s
}

// two is a configuration of two projects: alice writes in one and reads in
// the other, bob writes in the other, root administers.
func two() identity.Spec {
	return identity.Spec{
		Projects: []identity.ProjectSpec{{Name: "one"}, {Name: "two", ID: strings.Repeat("2", 32)}},
		Users: []identity.UserSpec{
			{Name: "alice", Password: "alice's", Grants: []identity.GrantSpec{
				{Project: "one", Roles: []string{"member"}}, {Project: "two", Roles: []string{"reader"}},
			}},
			{Name: "bob", Password: "bob's", Grants: []identity.GrantSpec{{Project: "two", Roles: []string{"member", "reader"}}}},
			{Name: "root", Password: "root's", Grants: []identity.GrantSpec{{Project: "one", Roles: []string{"admin"}}}},
		},
	}
}

func (w *world) sync(spec identity.Spec) {
	w.t.Helper()
	if err := w.Sync(w.t.Context(), spec); err != nil {
		w.t.Fatal(err)
	}
}

func credentials(user, password, project string) identity.Credentials {
	c := identity.Credentials{User: identity.Ref{Name: user, DomainName: "Default"}, Password: password}
	if project != "" {
		c.Scope.Project = &identity.Ref{Name: project, DomainID: "default"}
	}
	return c
}

func (w *world) login(user, password, project string) (string, identity.Token) {
	w.t.Helper()
	secret, token, err := w.Login(w.t.Context(), credentials(user, password, project))
	if err != nil {
		w.t.Fatalf("login of %s: %v", user, err)
	}
	return secret, token
}

func (w *world) valid(secret string) bool {
	w.t.Helper()
	_, err := w.Authenticate(w.t.Context(), secret)
	if err != nil && backup.KindOf(err) != backup.Unauthorized {
		w.t.Fatal(err)
	}
	return err == nil
}

func TestTokenLifeCycle(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.sync(two())
		secret, token := w.login("alice", "alice's", "one")
		if len(secret) != 43 {
			t.Errorf("a secret of %d characters", len(secret))
		}
		want := identity.Token{
			UserName: "alice", ProjectName: "one", Roles: []string{"member", "reader"}, Methods: []string{"password"},
			IssuedAt: start, ExpiresAt: start.Add(time.Hour),
		}
		got := token
		got.UserID, got.ProjectID, got.AuditIDs = "", "", nil
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("token (-want +got):\n%s", diff)
		}
		if len(token.UserID) != 32 || len(token.ProjectID) != 32 || len(token.AuditIDs) != 1 {
			t.Errorf("ids of %+v", token)
		}
		looked, err := w.another().Lookup(t.Context(), secret)
		if diff := cmp.Diff(token, looked); err != nil || diff != "" {
			t.Errorf("another process: %v (-want +got):\n%s", err, diff)
		}
		caller, err := w.Authenticate(t.Context(), secret)
		wantCaller := backup.Caller{
			UserID: token.UserID, UserName: "alice", ProjectID: token.ProjectID, ProjectName: "one", Roles: []string{"member", "reader"},
		}
		if diff := cmp.Diff(wantCaller, caller); err != nil || diff != "" {
			t.Errorf("caller: %v (-want +got):\n%s", err, diff)
		}
		w.clock.Set(start.Add(time.Hour - time.Second))
		if !w.valid(secret) {
			t.Error("ended before its time")
		}
		w.clock.Set(start.Add(time.Hour))
		if w.valid(secret) {
			t.Error("outlived its time")
		}
	})
}

func TestSecretsAreNotStored(t *testing.T) {
	w := newWorld(t, catalog.Config{Path: filepath.Join(t.TempDir(), "catalog.db")})
	w.sync(two())
	secret, _ := w.login("alice", "alice's", "one")
	err := w.db.View(t.Context(), func(tx *catalog.Tx) error {
		rows, err := tx.Query(t.Context(), "SELECT CAST(hash AS TEXT) || methods || audit_id FROM identity_tokens")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var all string
			if err := rows.Scan(&all); err != nil {
				return err
			}
			if strings.Contains(all, secret) {
				t.Error("the secret is in the catalog")
			}
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestScopes(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.sync(two())
		_, byName := w.login("alice", "alice's", "two")
		if byName.ProjectID != strings.Repeat("2", 32) || !cmp.Equal(byName.Roles, []string{"reader"}) {
			t.Errorf("project two: %+v", byName)
		}
		_, admin := w.login("root", "root's", "one")
		if !cmp.Equal(admin.Roles, []string{"admin", "member", "reader"}) {
			t.Errorf("an admin's roles: %v", admin.Roles)
		}
		_, unscoped := w.login("bob", "bob's", "")
		if unscoped.ProjectID != "" || unscoped.Roles != nil {
			t.Errorf("unscoped: %+v", unscoped)
		}
		c := credentials("", "alice's", "")
		c.User = identity.Ref{ID: byName.UserID}
		c.Scope.Project = &identity.Ref{ID: byName.ProjectID}
		if _, token, err := w.Login(t.Context(), c); err != nil || token.ProjectName != "two" {
			t.Errorf("by ids: %+v, %v", token, err)
		}
	})
}

// Every refusal must look the same.
func TestRefusedLogins(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.sync(two())
		project := func(ref identity.Ref) identity.Credentials {
			c := credentials("bob", "bob's", "")
			c.Scope.Project = &ref
			return c
		}
		elsewhere := credentials("bob", "bob's", "")
		elsewhere.Scope.Elsewhere = true
		otherDomain := credentials("bob", "bob's", "")
		otherDomain.User.DomainName = "other"
		noDomain := credentials("bob", "bob's", "")
		noDomain.User.DomainName = ""
		for name, c := range map[string]identity.Credentials{
			"unknown user":          credentials("nobody", "bob's", ""),
			"unknown id":            {User: identity.Ref{ID: "0"}, Password: "bob's"},
			"wrong password":        credentials("bob", "Bob's", ""),
			"no password":           credentials("bob", "", ""),
			"other domain":          otherDomain,
			"no domain":             noDomain,
			"unknown project":       credentials("bob", "bob's", "three"),
			"no role there":         credentials("bob", "bob's", "one"),
			"project, other domain": project(identity.Ref{Name: "two", DomainID: "other"}),
			"project without name":  project(identity.Ref{DomainID: "default"}),
			"not a project":         elsewhere,
			"unknown token":         {Token: "nonsense"},
		} {
			_, _, err := w.Login(t.Context(), c)
			if backup.KindOf(err) != backup.Unauthorized || err.Error() != "The request you have made requires authentication." {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// An unknown user must cost what a wrong password costs.
func TestRefusalsCostTheSame(t *testing.T) {
	w := newWorld(t, catalog.Config{Path: filepath.Join(t.TempDir(), "catalog.db")})
	w.sync(two())
	var work []string
	w.SetDerive(func(password, salt []byte) []byte {
		work = append(work, fmt.Sprint(len(password), len(salt)))
		return cheap(password, salt)
	})
	for _, c := range []identity.Credentials{
		credentials("bob", "wrong", ""), credentials("nobody", "wrong", ""),
		{User: identity.Ref{ID: "0"}, Password: "wrong"},
		{User: identity.Ref{Name: "bob", DomainName: "other"}, Password: "wrong"},
	} {
		work = nil
		if _, _, err := w.Login(t.Context(), c); err == nil {
			t.Error("accepted")
		}
		if diff := cmp.Diff([]string{"5 16"}, work); diff != "" {
			t.Errorf("%+v: work (-want +got):\n%s", c.User, diff)
		}
	}
}

// A key of zeros must not open the account of an unknown user.
func TestNobodyMatchesNothing(t *testing.T) {
	w := newWorld(t, catalog.Config{Path: filepath.Join(t.TempDir(), "catalog.db")})
	w.SetDerive(func(_, _ []byte) []byte { return make([]byte, 32) })
	if _, _, err := w.Login(t.Context(), credentials("nobody", "x", "")); backup.KindOf(err) != backup.Unauthorized {
		t.Errorf("got %v", err)
	}
}

func TestRescope(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.sync(two())
		first, login := w.login("alice", "alice's", "")
		w.clock.Advance(10 * time.Minute)
		c := identity.Credentials{Token: first, Scope: identity.Scope{Project: &identity.Ref{Name: "two", DomainID: "default"}}}
		second, token, err := w.Login(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if !token.ExpiresAt.Equal(login.ExpiresAt) || token.ProjectName != "two" || !cmp.Equal(token.Methods, []string{"token", "password"}) ||
			len(token.AuditIDs) != 2 || token.AuditIDs[1] != login.AuditIDs[0] {
			t.Errorf("got %+v from %+v", token, login)
		}
		third, token, err := w.Login(t.Context(), identity.Credentials{Token: second})
		if err != nil || !token.ExpiresAt.Equal(login.ExpiresAt) || len(token.AuditIDs) != 2 || token.AuditIDs[1] != login.AuditIDs[0] {
			t.Errorf("third: %+v, %v", token, err)
		}
		if !w.valid(third) {
			t.Error("the third token is not valid")
		}
		c.Scope.Project.Name = "nowhere"
		if _, _, err := w.Login(t.Context(), c); backup.KindOf(err) != backup.Unauthorized {
			t.Errorf("rescope to nowhere: %v", err)
		}
	})
}

func TestRevocation(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.sync(two())
		a, _ := w.login("alice", "alice's", "one")
		b, _ := w.login("alice", "alice's", "one")
		if err := w.another().Revoke(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		if w.valid(a) || !w.valid(b) {
			t.Error("the wrong token ended")
		}
		if err := w.Revoke(t.Context(), a); backup.KindOf(err) != backup.NotFound {
			t.Errorf("a second time: %v", err)
		}
	})
}

func TestTokensEndWithWhatTheyStandFor(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for name, change := range map[string]func(*identity.Spec){
			"password": func(s *identity.Spec) { s.Users[0].Password = "another" },
			"roles":    func(s *identity.Spec) { s.Users[0].Grants[0].Roles = []string{"reader"} },
			"project":  func(s *identity.Spec) { s.Users[0].Grants = s.Users[0].Grants[:1] },
			"user":     func(s *identity.Spec) { s.Users = s.Users[1:] },
		} {
			w.sync(two())
			alice, _ := w.login("alice", "alice's", "one")
			bob, _ := w.login("bob", "bob's", "two")
			w.sync(two())
			if !w.valid(alice) || !w.valid(bob) {
				t.Fatalf("%s: a restart without changes ends tokens", name)
			}
			spec := two()
			change(&spec)
			w.sync(spec)
			if w.valid(alice) {
				t.Errorf("%s: the changed user's token lives on", name)
			}
			if !w.valid(bob) {
				t.Errorf("%s: the other user's token ended", name)
			}
		}
	})
}

// A token whose password changes between the check and the issue must not
// come to life.
func TestPasswordChangeDuringLogin(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		if _, err := w.EnsureAdmin(t.Context(), func(string) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if err := w.SetPassword(t.Context(), "admin", "old"); err != nil {
			t.Fatal(err)
		}
		var once sync.Once
		w.SetDerive(func(password, salt []byte) []byte {
			once.Do(func() {
				if err := w.another().SetPassword(t.Context(), "admin", "new"); err != nil {
					t.Error(err)
				}
			})
			return cheap(password, salt)
		})
		if _, _, err := w.Login(t.Context(), credentials("admin", "old", "")); backup.KindOf(err) != backup.Unauthorized {
			t.Errorf("got %v", err)
		}
		w.login("admin", "new", "admin")
	})
}

func TestEnsureAdmin(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		failing := errors.New("disk full")
		if created, err := w.EnsureAdmin(t.Context(), func(string) error { return failing }); created || !errors.Is(err, failing) {
			t.Errorf("saving failed: %v, %v", created, err)
		}
		var password string
		save := func(p string) error { password = p; return nil }
		if created, err := w.EnsureAdmin(t.Context(), save); !created || err != nil || len(password) != 24 {
			t.Fatalf("got %v, %v, a password of %d", created, err, len(password))
		}
		secret, token := w.login("admin", password, "admin")
		if !cmp.Equal(token.Roles, []string{"admin", "member", "reader"}) {
			t.Errorf("roles %v", token.Roles)
		}
		first := password
		if created, err := w.EnsureAdmin(t.Context(), save); created || err != nil || password != first {
			t.Errorf("a second time: %v, %v", created, err)
		}
		if err := w.SetPassword(t.Context(), "admin", "chosen"); err != nil {
			t.Fatal(err)
		}
		if w.valid(secret) {
			t.Error("the token outlives its password")
		}
		w.login("admin", "chosen", "admin")

		w.sync(identity.Spec{})
		w.login("admin", "chosen", "admin")
		w.sync(two())
		if _, _, err := w.Login(t.Context(), credentials("admin", "chosen", "")); backup.KindOf(err) != backup.Unauthorized {
			t.Errorf("the embedded admin beside a configuration: %v", err)
		}
		project, err := w.ProjectByName(t.Context(), "admin")
		if err != nil || project.ID != token.ProjectID {
			t.Errorf("the admin's project: %+v, %v", project, err)
		}
	})
}

func TestConcurrentFirstStarts(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var made atomic.Int64
		var saved atomic.Value
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				var mine string
				created, err := w.another().EnsureAdmin(t.Context(), func(p string) error { mine = p; return nil })
				if err != nil {
					t.Error(err)
				}
				if created {
					made.Add(1)
					saved.Store(mine)
				}
			})
		}
		wg.Wait()
		if made.Load() != 1 {
			t.Fatalf("%d admins", made.Load())
		}
		w.login("admin", saved.Load().(string), "admin")
	})
}

func TestConcurrentSyncs(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if err := w.another().Sync(t.Context(), two()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		w.login("alice", "alice's", "one")
	})
}

func TestSetPasswordRefusals(t *testing.T) {
	w := newWorld(t, catalog.Config{Path: filepath.Join(t.TempDir(), "catalog.db")})
	w.sync(two())
	for name, tc := range map[string]struct {
		user, password string
		kind           backup.Kind
	}{
		"unknown":    {"nobody", "x", backup.NotFound},
		"configured": {"alice", "x", backup.Conflict},
		"empty":      {"alice", "", backup.Invalid},
		"endless":    {"alice", strings.Repeat("x", identity.MaxPassword+1), backup.Invalid},
	} {
		if err := w.SetPassword(t.Context(), tc.user, tc.password); backup.KindOf(err) != tc.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestContradictingSpecs(t *testing.T) {
	w := newWorld(t, catalog.Config{Path: filepath.Join(t.TempDir(), "catalog.db")})
	w.sync(two())
	for name, change := range map[string]func(*identity.Spec){
		"unknown project": func(s *identity.Spec) { s.Users[0].Grants[0].Project = "three" },
		"unknown role":    func(s *identity.Spec) { s.Users[0].Grants[0].Roles = []string{"owner"} },
		"other id":        func(s *identity.Spec) { s.Projects[1].ID = strings.Repeat("3", 32) },
		"taken id": func(s *identity.Spec) {
			s.Projects = append(s.Projects, identity.ProjectSpec{Name: "x", ID: strings.Repeat("2", 32)})
		},
		"bad hash":       func(s *identity.Spec) { s.Users[0] = identity.UserSpec{Name: "alice", PasswordHash: "$1$x"} },
		"empty password": func(s *identity.Spec) { s.Users[0].Password = "" },
	} {
		spec := two()
		change(&spec)
		if err := w.Sync(t.Context(), spec); backup.KindOf(err) != backup.Invalid {
			t.Errorf("%s: %v", name, err)
		}
		w.login("alice", "alice's", "one")
	}
}

// The one test with the real function, and a hash that the argon2 command made:
// printf secret | argon2 saltsaltsalt -id -e -k 19456 -t 2 -p 1.
func TestArgon2id(t *testing.T) {
	w := newWorld(t, catalog.Config{Path: filepath.Join(t.TempDir(), "catalog.db")})
	s := identity.New(identity.Config{DB: w.db, Clock: w.clock, Rand: rand.Reader})
	const hash = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$ki2QQIMdi3gALFf4XR64Y9rn4F8+JEUu2h0iBExveQo"
	spec := identity.Spec{Users: []identity.UserSpec{{Name: "a", PasswordHash: hash}, {Name: "b", Password: "own"}}}
	if err := s.Sync(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	for user, password := range map[string]string{"a": "secret", "b": "own"} {
		if _, _, err := s.Login(t.Context(), credentials(user, password, "")); err != nil {
			t.Errorf("%s: %v", user, err)
		}
		if _, _, err := s.Login(t.Context(), credentials(user, password+"x", "")); backup.KindOf(err) != backup.Unauthorized {
			t.Errorf("%s, wrong: %v", user, err)
		}
	}
}

func TestCheckHash(t *testing.T) {
	const salt, key = "c2FsdHNhbHRzYWx0c2FsdA", "aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g"
	for hash, ok := range map[string]bool{
		"$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$" + key:       true,
		"$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$" + key + "=": false,
		"$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$" + key:             false,
		"$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$" + salt:      false,
		"$argon2id$v=19$m=19456,t=2,p=1$" + salt:                   false,
		"$argon2id$v=19$m=4096,t=3,p=1$" + salt + "$" + key:        false,
		"$argon2i$v=19$m=19456,t=2,p=1$" + salt + "$" + key:        false,
		"": false,
	} {
		err := identity.CheckHash(hash)
		if (err == nil) != ok {
			t.Errorf("%q: %v", hash, err)
		}
		if err != nil && strings.Contains(err.Error(), key) {
			t.Errorf("the error repeats the hash: %v", err)
		}
	}
}

func TestUserBackoff(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.sync(two())
		// A name that doesn't exist must be slowed down alike.
		for _, user := range []string{"nobody", "alice"} {
			for i := range 6 {
				if _, _, err := w.Login(t.Context(), credentials(user, "wrong", "")); backup.KindOf(err) != backup.Unauthorized {
					t.Fatalf("%s, try %d: %v", user, i, err)
				}
			}
			for _, wait := range []int{1, 2, 4, 8, 16, 30, 30} {
				_, _, err := w.Login(t.Context(), credentials(user, "wrong", ""))
				var slow *identity.Throttled
				if !errors.As(err, &slow) || slow.Seconds() != wait {
					t.Fatalf("%s: %v, want a wait of %d s", user, err, wait)
				}
				w.clock.Advance(time.Duration(wait) * time.Second)
				if _, _, err := w.Login(t.Context(), credentials(user, "wrong", "")); backup.KindOf(err) != backup.Unauthorized {
					t.Fatalf("%s after %d s: %v", user, wait, err)
				}
			}
		}
		if _, _, err := w.Login(t.Context(), credentials("alice", "alice's", "")); err == nil {
			t.Error("the right password goes past the back-off")
		}
		w.login("bob", "bob's", "")
		w.clock.Advance(30 * time.Second)
		w.login("alice", "alice's", "")
		if _, _, err := w.Login(t.Context(), credentials("alice", "wrong", "")); backup.KindOf(err) != backup.Unauthorized {
			t.Errorf("a success doesn't reset: %v", err)
		}
	})
}

func TestAddressBackoff(t *testing.T) {
	w := newWorld(t, catalog.Config{Path: filepath.Join(t.TempDir(), "catalog.db")})
	w.sync(two())
	try := func(i int, addr string) error {
		c := credentials(fmt.Sprint("user", i), "wrong", "")
		c.Client = netip.MustParseAddr(addr)
		_, _, err := w.Login(t.Context(), c)
		return err
	}
	for i := range 21 {
		if err := try(i, fmt.Sprintf("2001:db8::%x", i+1)); backup.KindOf(err) != backup.Unauthorized {
			t.Fatalf("try %d: %v", i, err)
		}
	}
	var slow *identity.Throttled
	if err := try(100, "2001:db8::ffff"); !errors.As(err, &slow) {
		t.Errorf("the same network: %v", err)
	}
	if err := try(101, "2001:db8:1::1"); backup.KindOf(err) != backup.Unauthorized {
		t.Errorf("another network: %v", err)
	}
	// A good account doesn't buy the address more guesses.
	w.clock.Advance(time.Second)
	c := credentials("bob", "bob's", "")
	c.Client = netip.MustParseAddr("2001:db8::1")
	if _, _, err := w.Login(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := try(102, "2001:db8::1"); backup.KindOf(err) != backup.Unauthorized {
		t.Fatal(err)
	}
	if err := try(103, "2001:db8::1"); !errors.As(err, &slow) || slow.Seconds() != 2 {
		t.Errorf("after a success: %v", err)
	}
}

func TestBackoffIsBounded(t *testing.T) {
	w := newWorld(t, catalog.Config{Path: filepath.Join(t.TempDir(), "catalog.db")})
	addr := netip.MustParseAddr("10.0.0.0")
	for i := range identity.BackoffKeys + 50 {
		c := credentials(fmt.Sprint("user", i), "wrong", "")
		addr = addr.Next()
		c.Client = addr
		w.clock.Advance(time.Millisecond)
		if _, _, err := w.Login(t.Context(), c); backup.KindOf(err) != backup.Unauthorized {
			t.Fatal(err)
		}
	}
	if users, clients := w.Tracked(); users != identity.BackoffKeys || clients != identity.BackoffKeys {
		t.Errorf("%d users and %d addresses are remembered", users, clients)
	}
}

func TestHashingIsLimited(t *testing.T) {
	w := newWorld(t, catalog.Config{Path: filepath.Join(t.TempDir(), "catalog.db")})
	w.sync(two())
	var running, most atomic.Int64
	gate := make(chan struct{})
	w.SetDerive(func(password, salt []byte) []byte {
		n := running.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-gate
		running.Add(-1)
		return cheap(password, salt)
	})
	const surplus = 20
	const logins = identity.Hashers + identity.MaxWaiting + surplus
	results := make(chan error, logins)
	for range logins {
		go func() {
			_, _, err := w.Login(t.Context(), credentials("bob", "bob's", ""))
			results <- err
		}()
	}
	// Nobody gets on until those that are too many have been turned away.
	for range surplus {
		if err := <-results; backup.KindOf(err) != backup.Unavailable {
			t.Errorf("one too many: %v", err)
		}
	}
	close(gate)
	busy := 0
	for range logins - surplus {
		switch err := <-results; {
		case backup.KindOf(err) == backup.Unavailable:
			busy++
		case err != nil:
			t.Error(err)
		}
	}
	if most.Load() > identity.Hashers {
		t.Errorf("%d passwords were hashed at once", most.Load())
	}
	if busy > identity.Hashers {
		t.Errorf("%d logins were turned away that had room", busy)
	}
}

func TestWaitingLoginGivesUp(t *testing.T) {
	w := newWorld(t, catalog.Config{Path: filepath.Join(t.TempDir(), "catalog.db")})
	w.sync(two())
	gate, entered := make(chan struct{}), make(chan struct{}, identity.Hashers)
	w.SetDerive(func(password, salt []byte) []byte {
		entered <- struct{}{}
		<-gate
		return cheap(password, salt)
	})
	var wg sync.WaitGroup
	for range identity.Hashers {
		wg.Go(func() { _, _, _ = w.Login(context.Background(), credentials("bob", "bob's", "")) })
	}
	for range identity.Hashers {
		<-entered
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, _, err := w.Login(ctx, credentials("alice", "alice's", ""))
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(gate)
	wg.Wait()
}

func TestExpiredTokensAreCleared(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.sync(two())
		for range 40 {
			w.login("bob", "bob's", "")
		}
		w.clock.Advance(2 * time.Hour)
		last := ""
		for range 3 {
			last, _ = w.login("bob", "bob's", "")
		}
		var left int64
		err := w.db.View(t.Context(), func(tx *catalog.Tx) error {
			return tx.QueryRow(t.Context(), "SELECT COUNT(*) FROM identity_tokens").Scan(&left)
		})
		if err != nil || left != 3 || !w.valid(last) {
			t.Errorf("%d tokens are left, %v", left, err)
		}
	})
}

func TestDirectory(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.sync(two())
		users, err := w.Users(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, u := range users {
			names = append(names, u.Name)
			if got, err := w.User(t.Context(), u.ID); err != nil || got != u {
				t.Errorf("user %s: %+v, %v", u.ID, got, err)
			}
		}
		if diff := cmp.Diff([]string{"alice", "bob", "root"}, names); diff != "" {
			t.Errorf("users (-want +got):\n%s", diff)
		}
		bobs, err := w.Projects(t.Context(), users[1].ID)
		if err != nil || len(bobs) != 1 || bobs[0].Name != "two" {
			t.Errorf("bob's projects: %v, %v", bobs, err)
		}
		all, err := w.Projects(t.Context(), "")
		if err != nil || len(all) != 2 {
			t.Errorf("projects: %v, %v", all, err)
		}
		if _, err := w.User(t.Context(), "x"); backup.KindOf(err) != backup.NotFound {
			t.Errorf("unknown user: %v", err)
		}
		if _, err := w.Project(t.Context(), "x"); backup.KindOf(err) != backup.NotFound {
			t.Errorf("unknown project: %v", err)
		}
	})
}
