package config

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

var (
	projectID    = regexp.MustCompile(`^[0-9a-f]{32}$`)
	passwordHash = regexp.MustCompile(`^\$argon2id\$v=19\$m=[0-9]{1,7},t=[0-9]{1,3},p=[0-9]{1,3}\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{22,86}$`)
)

// Validate checks a resolved configuration without touching files or the
// network. The error names the first key that is wrong, with the rule.
func (c Config) Validate() error {
	return cmp.Or(
		notEmpty("data", c.Data),
		c.checkMainListener(),
		c.checkListeners(),
		c.checkAdmin(),
		c.checkProxies(),
		c.Database.check(),
		c.Store.check(),
		c.checkRecovery(),
		c.Volumes.check(),
		c.Identity.check(),
		c.Quotas.check(),
		c.Engine.check(),
		c.Jobs.check(),
		c.Maintenance.check(),
		oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error"),
		oneOf("log.format", c.Log.Format, "text", "json"),
		within("limits.body_bytes", c.Limits.BodyBytes, 4<<10, 64<<20),
		between("limits.drain_timeout", c.Limits.DrainTimeout, time.Second, time.Hour),
	)
}

func notEmpty(key, value string) error {
	if value == "" {
		return badKey(key, "must not be empty")
	}
	return nil
}

func oneOf(key, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return badKey(key, "%q is none of %s", value, strings.Join(allowed, ", "))
}

func within(key string, n, low, high int64) error {
	if n < low || n > high {
		return badKey(key, "%d is not between %d and %d", n, low, high)
	}
	return nil
}

func between(key string, d, low, high time.Duration) error {
	if d < low || d > high {
		return badKey(key, "%v is not between %v and %v", d, low, high)
	}
	return nil
}

// name accepts what the faces can show: 1 to 255 characters, none of them a
// control character, no space at either end.
func name(key, value string) error {
	switch n := utf8.RuneCountInString(value); {
	case value == "":
		return badKey(key, "must not be empty")
	case n > 255:
		return badKey(key, "is longer than 255 characters")
	case !utf8.ValidString(value), strings.TrimSpace(value) != value,
		strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return badKey(key, "%q is not a name", value)
	}
	return nil
}

func (c Config) checkMainListener() error {
	l := Listener{Listen: c.Listen, PublicURL: c.PublicURL, TLS: c.TLS}
	return l.check("", c.AllowPlainHTTP)
}

// check checks a listener whose keys begin with prefix.
func (l Listener) check(prefix string, allowPlain bool) error {
	a, err := parseAddress(l.Listen)
	if err != nil {
		return badKey(prefix+"listen", "%w", err)
	}
	if l.TLS.Cert == "" != (l.TLS.Key == "") {
		return badKey(prefix+"tls", "needs both cert and key")
	}
	if !l.TLS.Enabled() && !a.loopback() && !allowPlain {
		return badKey(prefix+"listen", "%s is not a loopback address: give tls, or set allow_plain_http: true", l.Listen)
	}
	switch {
	case l.PublicURL != "":
		if err := checkPublicURL(l.PublicURL); err != nil {
			return badKey(prefix+"public_url", "%w", err)
		}
	case a.wildcard():
		return badKey(prefix+"public_url", "must be given where listen is a wildcard address (%s)", l.Listen)
	}
	return nil
}

func (c Config) checkListeners() error {
	faces := map[string]bool{}
	taken := map[string]string{c.Listen: "listen"}
	for i, l := range c.Listeners {
		prefix := fmt.Sprintf("listeners[%d].", i)
		if err := cmp.Or(oneOf(prefix+"face", l.Face, Faces()...), l.check(prefix, c.AllowPlainHTTP)); err != nil {
			return err
		}
		if faces[l.Face] {
			return badKey(prefix+"face", "%s has a listener already", l.Face)
		}
		faces[l.Face] = true
		if err := take(taken, prefix+"listen", l.Listen); err != nil {
			return err
		}
	}
	return take(taken, "admin.listen", c.Admin.Listen)
}

// take refuses an address that another key has; port 0 is never the same.
func take(taken map[string]string, key, listen string) error {
	if other, ok := taken[listen]; ok && !strings.HasSuffix(listen, ":0") {
		return badKey(key, "%s is taken by %s", listen, other)
	}
	taken[listen] = key
	return nil
}

func (c Config) checkAdmin() error {
	a, err := parseAddress(c.Admin.Listen)
	switch {
	case err != nil:
		return badKey("admin.listen", "%w", err)
	case !a.loopback() && !c.AllowPlainHTTP:
		return badKey("admin.listen", "%s is not a loopback address: use one, or set allow_plain_http: true", c.Admin.Listen)
	case !a.loopback() && c.Admin.Pprof:
		return badKey("admin.pprof", "needs a loopback address, and admin.listen is %s", c.Admin.Listen)
	}
	return nil
}

func (c Config) checkProxies() error {
	for i, p := range c.TrustedProxies {
		key := fmt.Sprintf("trusted_proxies[%d]", i)
		if !p.IsValid() {
			return badKey(key, "is not a network such as 10.0.0.0/8")
		}
		if p != p.Masked() {
			return badKey(key, "%s has bits set after its prefix: meant %s?", p, p.Masked())
		}
	}
	return nil
}

func (d Database) check() error {
	if err := checkDatabaseURL(d.URL); err != nil {
		return badKey("database.url", "%w", err)
	}
	return nil
}

// checkDatabaseURL accepts nothing (SQLite) or a PostgreSQL URL. Its errors
// repeat no part of it.
func checkDatabaseURL(s Secret) error {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s.Reveal())
	if err != nil {
		return errors.New("is not a URL (special characters in a password must be percent-encoded)")
	}
	if u.Scheme != "postgres" && u.Scheme != "postgresql" || u.Opaque != "" {
		return errors.New("must begin with postgres://")
	}
	return nil
}

func (v Volumes) check() error {
	if err := name("volumes.availability_zone", v.AvailabilityZone); err != nil {
		return err
	}
	if len(v.Types) == 0 {
		return badKey("volumes.types", "must name at least one type")
	}
	seen := map[string]bool{}
	for i, t := range v.Types {
		key := fmt.Sprintf("volumes.types[%d].name", i)
		if err := name(key, t.Name); err != nil {
			return err
		}
		if seen[t.Name] {
			return badKey(key, "%q is given twice", t.Name)
		}
		seen[t.Name] = true
	}
	return nil
}

func (q Quotas) check() error {
	for _, l := range []struct {
		key   string
		limit int64
	}{
		{"volumes", q.Volumes},
		{"snapshots", q.Snapshots},
		{"gigabytes", q.Gigabytes},
		{"backups", q.Backups},
		{"backup_gigabytes", q.BackupGigabytes},
		{"per_volume_gigabytes", q.PerVolumeGigabytes},
	} {
		if l.limit < -1 || l.limit > 1<<31-1 {
			return badKey("quotas."+l.key, "%d is neither -1 (unlimited) nor between 0 and %d", l.limit, 1<<31-1)
		}
	}
	return nil
}

func (e Engine) check() error {
	return cmp.Or(
		oneOf("engine.compression", e.Compression, "auto", "fast", "balanced", "small"),
		within("engine.workers", int64(e.Workers), 0, 1024),
		within("engine.index_budget_mib", int64(e.IndexBudgetMiB), 16, 1<<20),
	)
}

func (m Maintenance) check() error {
	if m.Every != 0 {
		if err := between("maintenance.every", m.Every, time.Minute, 365*24*time.Hour); err != nil {
			return err
		}
	}
	if err := oneOf("maintenance.compression", m.Compression, "balanced", "small"); err != nil {
		return err
	}
	if !(m.VerifySamplePercent >= 0 && m.VerifySamplePercent <= 100) {
		return badKey("maintenance.verify_sample_percent", "%v is not between 0 and 100", m.VerifySamplePercent)
	}
	return nil
}

func (j Jobs) check() error {
	err := cmp.Or(
		within("jobs.workers", int64(j.Workers), 1, 256),
		between("jobs.heartbeat", j.Heartbeat, 100*time.Millisecond, 10*time.Minute),
		between("jobs.lease", j.Lease, time.Second, time.Hour),
	)
	if err == nil && j.Lease < 3*j.Heartbeat {
		return badKey("jobs.lease", "%v must be at least three times jobs.heartbeat (%v)", j.Lease, j.Heartbeat)
	}
	return err
}
