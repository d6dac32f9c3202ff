package identity

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
)

// Ref names a user or a project: by its id, or by its name and domain.
type Ref struct {
	ID         string
	Name       string
	DomainID   string
	DomainName string
}

// Scope says what a token is wanted for. The zero Scope is none.
type Scope struct {
	Project *Ref
	// Elsewhere stands for what Holdfast doesn't have, such as other domains
	// and the system: nobody may do anything there.
	Elsewhere bool
}

// Credentials are what a login shows: a token, or else a user with password.
type Credentials struct {
	Token    string
	User     Ref
	Password string
	Scope    Scope
	Client   netip.Addr // who asks; zero: unknown
}

// The one answer to every login that fails, whatever the reason.
const textUnauthorized = "The request you have made requires authentication."

func unauthorized() error { return backup.Errorf(backup.Unauthorized, textUnauthorized) }

// Login issues a token and returns its secret. An error of kind Unauthorized
// is the same for an unknown user, a wrong password and a scope in which the
// user has no role. *Throttled means that it was not even looked at.
func (s *Service) Login(ctx context.Context, c Credentials) (secret string, t Token, err error) {
	if c.Token != "" {
		return s.rescope(ctx, c)
	}
	user, err := s.checkPassword(ctx, c)
	if err != nil {
		return "", Token{}, err
	}
	return s.issue(ctx, grant{
		userID: user.ID, passwordHash: user.PasswordHash, scope: c.Scope,
		methods: []string{"password"}, lifetime: s.lifetime,
	})
}

// checkPassword returns the user whom the credentials prove.
func (s *Service) checkPassword(ctx context.Context, c Credentials) (*catalog.IdentityUser, error) {
	user, err := s.findUser(ctx, c.User)
	if err != nil {
		return nil, err
	}
	name, client, stored := "id "+c.User.ID, clientKey(c.Client), ""
	switch {
	case user != nil:
		name, stored = "name "+user.Name, user.PasswordHash
	case c.User.ID == "":
		name = "name " + c.User.Name
	}
	leave, err := s.admit(ctx, name, client)
	if err != nil {
		return nil, err
	}
	defer leave()
	if !s.hasher.matches(stored, c.Password) {
		s.users.fail(name)
		if client != "" {
			s.clients.fail(client)
		}
		return nil, unauthorized()
	}
	// The address is not forgiven: one good account would buy it guesses at others.
	s.users.succeed(name)
	return user, nil
}

// admit waits for a slot to hash in. Failures are looked at again once it is
// there: those of requests that were before this one count, however many
// came at once.
func (s *Service) admit(ctx context.Context, name, client string) (leave func(), err error) {
	if err := s.throttled(name, client); err != nil {
		return nil, err
	}
	leave, err = s.hasher.enter(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.throttled(name, client); err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

func (s *Service) throttled(name, client string) error {
	if err := s.users.check(name); err != nil {
		return err
	}
	if client == "" {
		return nil
	}
	return s.clients.check(client)
}

// findUser returns the user that a reference names, nil where there is none.
func (s *Service) findUser(ctx context.Context, ref Ref) (user *catalog.IdentityUser, err error) {
	by, value := catalog.IdentityByID, ref.ID
	if ref.ID == "" {
		by, value = catalog.IdentityByName, ref.Name
		if !isDomain(ref.DomainID, ref.DomainName) {
			// A user of another domain: looked up all the same, as the user
			// without a name, so that the work is equal.
			value = ""
		}
	}
	err = s.db.View(ctx, func(tx *catalog.Tx) (err error) {
		user, err = tx.IdentityUser(ctx, by, value)
		return err
	})
	return user, err
}

// rescope issues a token for another scope. It ends when the one that was
// shown does, so that nobody stays logged in by renewing.
func (s *Service) rescope(ctx context.Context, c Credentials) (string, Token, error) {
	old, err := s.Lookup(ctx, c.Token)
	if err != nil {
		return "", Token{}, err
	}
	methods := []string{"token"}
	for _, m := range old.Methods {
		if !slices.Contains(methods, m) {
			methods = append(methods, m)
		}
	}
	return s.issue(ctx, grant{
		userID: old.UserID, scope: c.Scope, methods: methods,
		parent: hashOf(c.Token), audit: old.AuditIDs[len(old.AuditIDs)-1], expires: old.ExpiresAt,
	})
}

// grant is what a new token is made from.
type grant struct {
	userID       string
	passwordHash string // that was proven; empty: a token was
	parent       [32]byte
	scope        Scope
	methods      []string
	audit        string // of the login that it descends from; empty: it is one
	lifetime     time.Duration
	expires      time.Time // zero: lifetime from now
}
