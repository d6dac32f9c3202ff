package config

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The environment variables that secrets may come from.
const (
	EnvDatabaseURL      = "HOLDFAST_DATABASE_URL"
	EnvDatabasePassword = "HOLDFAST_DATABASE_PASSWORD"
)

// Overrides are the flags that go before the file; empty ones don't count.
type Overrides struct {
	Data   string
	Listen string
}

// Load reads the file at path, or the embedded default where path is empty,
// lays the overrides over it, fills in what follows, checks everything, and
// reads the secrets. The error is one line that names the file and the first
// key that is wrong; it never holds a secret.
func Load(path string, o Overrides) (Config, error) {
	name := path
	if path == "" {
		name = "configuration"
	}
	c := Default()
	var mode fs.FileMode
	if path != "" {
		text, m, err := readFile(path)
		if err != nil {
			return Config{}, fmt.Errorf("%s: %w", name, plainPathError(err))
		}
		if err := decode(text, &c); err != nil {
			return Config{}, fmt.Errorf("%s: %w", name, err)
		}
		mode = m
	}
	if o.Data != "" {
		c.Data = o.Data
	}
	if o.Listen != "" {
		c.Listen = o.Listen
	}
	if err := c.complete(mode); err != nil {
		var k *keyError
		if errors.As(err, &k) && (k.key == "listen" && o.Listen != "" || k.key == "data" && o.Data != "") {
			return Config{}, fmt.Errorf("--%w", err)
		}
		return Config{}, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

// complete turns what the file and the flags say into what the service runs
// on. Mode is the file's.
func (c *Config) complete(mode fs.FileMode) error {
	if err := c.checkInlineSecrets(mode); err != nil {
		return err
	}
	*c = c.Resolve()
	if err := c.Validate(); err != nil {
		return err
	}
	if err := c.readDatabaseSecrets(); err != nil {
		return err
	}
	if err := c.Store.readSecrets(); err != nil {
		return err
	}
	if err := c.readKeyPassphrase(); err != nil {
		return err
	}
	for i := range c.Identity.Users {
		u := &c.Identity.Users[i]
		if u.PasswordFile == "" {
			continue
		}
		secret, err := ReadSecret(u.PasswordFile)
		if err != nil {
			return badKey(fmt.Sprintf("identity.users[%d].password_file", i), "%w", err)
		}
		u.Password = secret
	}
	return c.checkCertificates()
}

func readFile(path string) ([]byte, fs.FileMode, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	return text, info.Mode().Perm(), err
}

// plainPathError leaves out the path, which the caller says already.
func plainPathError(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("can't %s it: %w", p.Op, p.Err)
	}
	return err
}

// Resolve fills in the values that follow from others. The public URL of a
// listener on port 0 stays empty: it is known once the listener is open.
func (c Config) Resolve() Config {
	orDefault := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	orDefault(&c.MasterKeyFile, filepath.Join(c.Data, "master.key"))
	if !c.Store.S3.Enabled() {
		orDefault(&c.Store.Local.Path, filepath.Join(c.Data, "store"))
	}
	orDefault(&c.Volumes.Path, filepath.Join(c.Data, "volumes"))
	orDefault(&c.PublicURL, derivedURL(c.Listen, c.TLS.Enabled()))
	c.PublicURL = strings.TrimRight(c.PublicURL, "/")
	c.Listeners = slices.Clone(c.Listeners)
	for i := range c.Listeners {
		l := &c.Listeners[i]
		orDefault(&l.PublicURL, derivedURL(l.Listen, l.TLS.Enabled()))
		l.PublicURL = strings.TrimRight(l.PublicURL, "/")
	}
	return c
}

// checkInlineSecrets refuses a file that holds secrets itself and that anyone
// can read. Its group may: a service's user reads a file of root's that way.
func (c Config) checkInlineSecrets(mode fs.FileMode) error {
	if mode&0o007 == 0 {
		return nil
	}
	const problem = "a secret stands in this file, which others can read (mode %04o): make it 0600 or 0640"
	if u, err := url.Parse(c.Database.URL.Reveal()); c.Database.URL != "" && (err != nil || holdsPassword(u)) {
		return badKey("database.url", problem, mode)
	}
	for i, u := range c.Identity.Users {
		if u.PasswordHash != "" {
			return badKey(fmt.Sprintf("identity.users[%d].password_hash", i), problem, mode)
		}
	}
	return nil
}

func holdsPassword(u *url.URL) bool {
	_, ok := u.User.Password()
	q := u.Query()
	return ok || q.Has("password") || q.Has("sslpassword")
}

// readDatabaseSecrets completes Database.URL.
func (c *Config) readDatabaseSecrets() error {
	d := &c.Database
	if env := Secret(os.Getenv(EnvDatabaseURL)); env != "" {
		if d.URL != "" || d.URLFile != "" {
			return badKey("database", "%s is set too: keep one of them", EnvDatabaseURL)
		}
		d.URL = env
	}
	if d.URLFile != "" {
		if d.URL != "" {
			return badKey("database", "has both url and url_file: keep one of them")
		}
		secret, err := ReadSecret(d.URLFile)
		if err != nil {
			return badKey("database.url_file", "%w", err)
		}
		d.URL = secret
	}
	if err := checkDatabaseURL(d.URL); err != nil {
		return badKey(d.urlKey(), "%w", err)
	}
	return c.addDatabasePassword()
}

// urlKey names where the URL came from.
func (d Database) urlKey() string {
	switch {
	case d.URLFile != "":
		return "database.url_file"
	case os.Getenv(EnvDatabaseURL) != "":
		return EnvDatabaseURL
	}
	return "database.url"
}

func (c *Config) addDatabasePassword() error {
	d := &c.Database
	password, key := Secret(os.Getenv(EnvDatabasePassword)), EnvDatabasePassword
	if d.PasswordFile != "" {
		key = "database.password_file"
		if password != "" {
			return badKey(key, "%s is set too: keep one of them", EnvDatabasePassword)
		}
		secret, err := ReadSecret(d.PasswordFile)
		if err != nil {
			return badKey(key, "%w", err)
		}
		password = secret
	}
	if password == "" {
		return nil
	}
	if d.URL == "" {
		return badKey(key, "there is no database URL that it belongs to")
	}
	u, err := url.Parse(d.URL.Reveal())
	if err != nil || holdsPassword(u) {
		return badKey(key, "the database URL holds a password too: keep one of them")
	}
	if u.User != nil {
		u.User = url.UserPassword(u.User.Username(), password.Reveal())
	} else {
		q := u.Query()
		q.Set("password", password.Reveal())
		u.RawQuery = q.Encode()
	}
	d.URL = Secret(u.String())
	return nil
}

// checkCertificates makes sure that every listener's TLS files can be used.
func (c Config) checkCertificates() error {
	if err := c.TLS.check("tls"); err != nil {
		return err
	}
	for i, l := range c.Listeners {
		if err := l.TLS.check(fmt.Sprintf("listeners[%d].tls", i)); err != nil {
			return err
		}
	}
	return nil
}

func (t TLS) check(key string) error {
	if !t.Enabled() {
		return nil
	}
	cert, err := os.ReadFile(t.Cert)
	if err != nil {
		return badKey(key+".cert", "%w", err)
	}
	private, err := readPrivate(t.Key, 0o007)
	if err != nil {
		return badKey(key+".key", "%w", err)
	}
	if _, err := tls.X509KeyPair(cert, private); err != nil {
		return badKey(key, "%w", err)
	}
	return nil
}
