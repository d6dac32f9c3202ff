package identity

// SetDerive replaces the costly function between password and key.
func (s *Service) SetDerive(f func(password, salt []byte) []byte) { s.hasher.derive = f }

// Tracked returns how many keys the back-offs remember.
func (s *Service) Tracked() (users, clients int) { return len(s.users.seen), len(s.clients.seen) }

// Limits of waiting logins and of what the back-offs remember.
const (
	Hashers    = hashers
	MaxWaiting = maxWaiting
)

// BackoffKeys is how many keys a back-off remembers.
var BackoffKeys = userLimits.keys
