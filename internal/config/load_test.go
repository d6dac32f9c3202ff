package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"holdfast/internal/config"
)

func write(t *testing.T, dir, name, text string, mode fs.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
	return path
}

// writeKeyPair writes name.crt and name.key, a pair that fits.
func writeKeyPair(t *testing.T, dir, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, name+".crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})), 0o644)
	write(t, dir, name+".key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), 0o600)
}

const hash = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g"

func load(t *testing.T, text string) (config.Config, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	write(t, ".", "holdfast.yaml", text, 0o600)
	return config.Load("holdfast.yaml", config.Overrides{})
}

func TestLoadRefuses(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"unknown key", "listn: x", `listn: unknown key (line 1)`},
		{"unknown nested key", "store:\n  s4: {}", `store.s4: unknown key (line 2)`},
		{"unknown key in a list", "listeners:\n- fase: x", `listeners[0].fase: unknown key (line 2)`},
		{"unknown key with a line break", `"a\nb": 1`, `"a\nb": unknown key (line 1)`},
		{"key twice", "listen: 127.0.0.1:1\nlisten: 127.0.0.1:2", `listen: given twice (line 2)`},
		{"key that is a list", "? [a]\n: b", `file: a key must be a word (line 1)`},
		{"list as the file", "- a", `file: must hold keys and values (line 1)`},
		{"two documents", "data: a\n---\ndata: b", `holds more than one document`},
		{"broken YAML", "data: [a", `line 1: did not find expected ',' or ']'`},
		{"alias", "data: &a x\nlisten: *a", `data: anchors and aliases are not supported (line 1)`},
		{"merge", "<<: {data: x}", `<<: unknown key (line 1)`},
		{"value where keys belong", "store: 5", `store: must hold keys and values (line 1)`},
		{"value where a list belongs", "trusted_proxies: 10.0.0.0/8", `trusted_proxies: must be a list (line 1)`},
		{"list where a value belongs", "listen: [a]", `listen: must be a single value (line 1)`},
		{"no value", "listen:", `listen: has no value (line 1)`},
		{"binary", "data: !!binary aGk=", `data: must be plain text`},

		{"not an address", "listen: foo", `listen: "foo" is not an address: want host:port`},
		{"port out of range", "listen: 127.0.0.1:70000", `listen: "127.0.0.1:70000" is not an address: want host:port`},
		{"port by name", "listen: 127.0.0.1:http", `listen: "127.0.0.1:http" is not an address: want host:port`},
		{"impossible host", "listen: a_b:80", `listen: "a_b:80" is not an address: want host:port`},
		{"plain beyond loopback", "listen: 192.0.2.1:80", `listen: 192.0.2.1:80 is not a loopback address: give tls, or set allow_plain_http: true`},
		{"name beyond loopback", "listen: backup.example.org:80", `listen: backup.example.org:80 is not a loopback address: give tls, or set allow_plain_http: true`},
		{"wildcard without public URL", "listen: :8790\nallow_plain_http: true", `public_url: must be given where listen is a wildcard address (:8790)`},
		{"IPv6 wildcard", "listen: '[::]:8790'\nallow_plain_http: true", `public_url: must be given where listen is a wildcard address ([::]:8790)`},
		{"public URL of another scheme", "public_url: ftp://x", `public_url: "ftp://x" is not an http or https URL`},
		{"public URL with a query", "public_url: http://x?a=b", `public_url: "http://x?a=b" must not have a query or fragment`},
		{"public URL with a password", "public_url: http://u:hunter2@x", `public_url: must not hold a user or password`},
		{"certificate without key", "tls: {cert: a}", `tls: needs both cert and key`},
		{"certificate missing", "tls: {cert: a, key: b}", `tls.cert: open a: no such file or directory`},
		{"unknown face", "listeners: [{face: x, listen: '127.0.0.1:1'}]", `listeners[0].face: "x" is none of block-storage, identity, image`},
		{"face twice", "listeners: [{face: image, listen: '127.0.0.1:1'}, {face: image, listen: '127.0.0.1:2'}]", `listeners[1].face: image has a listener already`},
		{"address twice", "listeners: [{face: image, listen: '127.0.0.1:8790'}]", `listeners[0].listen: 127.0.0.1:8790 is taken by listen`},
		{"face without address", "listeners: [{face: image}]", `listeners[0].listen: "" is not an address: want host:port`},
		{"face beyond loopback", "listeners: [{face: image, listen: '192.0.2.1:1'}]", `listeners[0].listen: 192.0.2.1:1 is not a loopback address: give tls, or set allow_plain_http: true`},
		{"admin beyond loopback", "admin: {listen: '192.0.2.1:1'}", `admin.listen: 192.0.2.1:1 is not a loopback address: use one, or set allow_plain_http: true`},
		{"profiles beyond loopback", "allow_plain_http: true\nadmin: {listen: '192.0.2.1:1', pprof: true}", `admin.pprof: needs a loopback address, and admin.listen is 192.0.2.1:1`},
		{"admin on the main address", "admin: {listen: '127.0.0.1:8790'}", `admin.listen: 127.0.0.1:8790 is taken by listen`},
		{"no network", "trusted_proxies: [foo]", `trusted_proxies[0]: "foo" is not a network such as 10.0.0.0/8`},
		{"network with host bits", "trusted_proxies: [10.0.0.5/8]", `trusted_proxies[0]: 10.0.0.5/8 has bits set after its prefix: meant 10.0.0.0/8?`},
		{"not a bool", "allow_plain_http: maybe", `allow_plain_http: "maybe" is neither true nor false`},
		{"not a number", "engine: {workers: two}", `engine.workers: "two" is not a whole number`},
		{"number out of range", "jobs: {workers: 0}", `jobs.workers: 0 is not between 1 and 256`},
		{"duration without unit", "jobs: {lease: 60}", `jobs.lease: "60" is not a duration such as 90s or 1h`},
		{"maintenance too often", "maintenance: {every: 5s}", `maintenance.every: 5s is not between 1m0s and 8760h0m0s`},
		{"a sample with its sign", "maintenance: {verify_sample_percent: 1%}", `maintenance.verify_sample_percent: "1%" is not a number`},
		{"more than all", "maintenance: {verify_sample_percent: 101}", `maintenance.verify_sample_percent: 101 is not between 0 and 100`},
		{"no number", "maintenance: {verify_sample_percent: NaN}", `maintenance.verify_sample_percent: NaN is not between 0 and 100`},
		{"lease near the heartbeat", "jobs: {lease: 20s}", `jobs.lease: 20s must be at least three times jobs.heartbeat (10s)`},
		{"unknown compression", "engine: {compression: lzma}", `engine.compression: "lzma" is none of auto, fast, balanced, small`},
		{"unknown level", "log: {level: loud}", `log.level: "loud" is none of debug, info, warn, error`},
		{"quota below -1", "quotas: {backups: -2}", `quotas.backups: -2 is neither -1 (unlimited) nor between 0 and 2147483647`},
		{"no volume types", "volumes: {types: []}", `volumes.types: must name at least one type`},
		{"volume type twice", "volumes: {types: [{name: a}, {name: a}]}", `volumes.types[1].name: "a" is given twice`},
		{"empty data", "data: ''", `data: must not be empty`},

		{"database of another kind", "database: {url: 'mysql://u:hunter2@h/d'}", `database.url: must begin with postgres://`},
		{"database URL unparsable", "database: {url: 'postgres://u:hunter2%@h/d'}", `database.url: is not a URL (special characters in a password must be percent-encoded)`},
		{"two database URLs", "database: {url: 'postgres://h/d', url_file: x}", `database: has both url and url_file: keep one of them`},
		{"database URL file missing", "database: {url_file: gone}", `database.url_file: open gone: no such file or directory`},
		{"password for SQLite", "database: {password_file: secret}", `database.password_file: there is no database URL that it belongs to`},
		{"two database passwords", "database: {url: 'postgres://u:hunter2@h/d', password_file: secret}", `database.password_file: the database URL holds a password too: keep one of them`},

		{"bucket and folder", "store: {local: {path: a}, s3: {bucket: abc}}", `store: has both local and s3: keep one of them`},
		{"no bucket", "store: {s3: {endpoint: 'http://h'}}", `store.s3.bucket: must be given where other keys of store.s3 are`},
		{"bucket's name", "store: {s3: {bucket: a/b}}", `store.s3.bucket: "a/b" is not a bucket's name`},
		{"endpoint without scheme", "store: {s3: {bucket: abc, endpoint: 's3.example.org'}}", `store.s3.endpoint: "s3.example.org" is not an http or https URL of a host alone`},
		{"endpoint with a path", "store: {s3: {bucket: abc, endpoint: 'http://h/abc'}}", `store.s3.endpoint: "http://h/abc" is not an http or https URL of a host alone`},
		{"endpoint with a password", "store: {s3: {bucket: abc, endpoint: 'http://u:hunter2@h'}}", `store.s3.endpoint: must not hold a user or password`},
		{"prefix with a slash behind", "store: {s3: {bucket: abc, prefix: a/}}", `store.s3.prefix: "a/" is not made of [a-zA-Z0-9._-], with single slashes between`},
		{"prefix that climbs", "store: {s3: {bucket: abc, prefix: a/../b}}", `store.s3.prefix: "a/../b" is not made of [a-zA-Z0-9._-], with single slashes between`},
		{"region", "store: {s3: {bucket: abc, region: 'a b'}}", `store.s3.region: "a b" is not a region's name`},
		{"no requests", "store: {s3: {bucket: abc, requests: 0}}", `store.s3.requests: 0 is not between 1 and 1024`},
		{"bandwidth below none", "store: {local: {upload_mib_per_s: -1}}", `store.local.upload_mib_per_s: -1 is not between 0 and 1048576`},
		{"keys of the bucket missing", "store: {s3: {bucket: abc}}", `store.s3.access_key_file: must be given, or HOLDFAST_S3_ACCESS_KEY be set`},
		{"one key of the bucket", "store: {s3: {bucket: abc, access_key_file: secret}}", `store.s3.access_key_file: needs secret_key_file too, and the other way round`},
		{"key of the bucket open", "store: {s3: {bucket: abc, access_key_file: secret, secret_key_file: open}}", `store.s3.secret_key_file: open can be read by others (mode 0640): make it 0600`},
		{"no certificates", "store: {s3: {bucket: abc, access_key_file: secret, secret_key_file: secret, ca_file: empty}}", `store.s3.ca_file: empty holds no certificate in PEM form`},

		{"user without password", "identity: {users: [{name: a}]}", `identity.users[0]: needs password_hash or password_file`},
		{"user with two passwords", "identity: {users: [{name: a, password_hash: h, password_file: f}]}", `identity.users[0]: has both password_hash and password_file: keep one of them`},
		{"user without name", "identity: {users: [{password_file: secret}]}", `identity.users[0].name: must not be empty`},
		{"user twice", "identity: {users: [{name: a, password_file: secret}, {name: a, password_file: secret}]}", `identity.users[1].name: "a" is given twice`},
		{"plain text as a hash", "identity: {users: [{name: a, password_hash: hunter2}]}", `identity.users[0].password_hash: is not an argon2id hash of the form $argon2id$v=19$m=...,t=...,p=...$salt$hash`},
		{"project id", "identity: {projects: [{name: a, id: ABC}]}", `identity.projects[0].id: "ABC" is not 32 lower-case hex digits`},
		{"project twice", "identity: {projects: [{name: a}, {name: a}]}", `identity.projects[1].name: "a" is given twice`},
		{"project id twice", "identity: {projects: [{name: a, id: 00000000000000000000000000000000}, {name: b, id: 00000000000000000000000000000000}]}", `identity.projects[1].id: 00000000000000000000000000000000 is given twice`},
		{"unknown project", "identity: {users: [{name: a, password_file: secret, projects: [{name: x, roles: [admin]}]}]}", `identity.users[0].projects[0].name: "x" is not in identity.projects`},
		{"no roles", "identity: {projects: [{name: x}], users: [{name: a, password_file: secret, projects: [{name: x}]}]}", `identity.users[0].projects[0].roles: must name at least one role`},
		{"unknown role", "identity: {projects: [{name: x}], users: [{name: a, password_file: secret, projects: [{name: x, roles: [root]}]}]}", `identity.users[0].projects[0].roles[0]: "root" is none of admin, member, reader`},
		{"secret missing", "identity: {users: [{name: a, password_file: gone}]}", `identity.users[0].password_file: open gone: no such file or directory`},
		{"secret readable by others", "identity: {users: [{name: a, password_file: open}]}", `identity.users[0].password_file: open can be read by others (mode 0640): make it 0600`},
		{"secret empty", "identity: {users: [{name: a, password_file: empty}]}", `identity.users[0].password_file: empty is empty`},
		{"secret of two lines", "identity: {users: [{name: a, password_file: two}]}", `identity.users[0].password_file: two holds more than one line`},
		{"secret too large", "identity: {users: [{name: a, password_file: large}]}", `identity.users[0].password_file: large is larger than 65536 bytes`},
		{"secret is a folder", "identity: {users: [{name: a, password_file: folder}]}", `identity.users[0].password_file: folder is not a regular file`},
		{"secret is a pipe", "identity: {users: [{name: a, password_file: pipe}]}", `identity.users[0].password_file: pipe is not a regular file`},
		{"tokens for ever", "identity: {token_lifetime: 9000h}", `identity.token_lifetime: 9000h0m0s is not between 1m0s and 168h0m0s`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			write(t, ".", "holdfast.yaml", tt.text, 0o600)
			write(t, ".", "secret", "hunter2\n", 0o600)
			write(t, ".", "open", "hunter2\n", 0o640)
			write(t, ".", "empty", "\n", 0o600)
			write(t, ".", "two", "hunter2\nhunter3\n", 0o600)
			write(t, ".", "large", strings.Repeat("hunter2 ", 9000), 0o600)
			if err := errors.Join(os.Mkdir("folder", 0o700), syscall.Mkfifo("pipe", 0o600)); err != nil {
				t.Fatal(err)
			}
			_, err := config.Load("holdfast.yaml", config.Overrides{})
			if err == nil {
				t.Fatal("accepted")
			}
			if got, want := err.Error(), "holdfast.yaml: "+tt.want; got != want {
				t.Errorf("\n got %s\nwant %s", got, want)
			}
		})
	}
}

func TestLoadWithoutFileIsTheDefault(t *testing.T) {
	c, err := config.Load("", config.Overrides{Data: "/srv/x", Listen: "127.0.0.1:9000"})
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range [][2]string{
		{c.Data, "/srv/x"},
		{c.PublicURL, "http://127.0.0.1:9000"},
		{c.Store.Local.Path, "/srv/x/store"},
		{c.Volumes.Path, "/srv/x/volumes"},
		{c.MasterKeyFile, "/srv/x/master.key"},
	} {
		if got[0] != got[1] {
			t.Errorf("got %s, want %s", got[0], got[1])
		}
	}
}

func TestOverridesGoBeforeTheFileAndAreNamed(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, ".", "holdfast.yaml", "listen: nonsense", 0o600)
	c, err := config.Load("holdfast.yaml", config.Overrides{Listen: "127.0.0.1:1"})
	if err != nil || c.Listen != "127.0.0.1:1" {
		t.Fatalf("listen = %s, %v", c.Listen, err)
	}
	_, err = config.Load("holdfast.yaml", config.Overrides{Listen: "foo"})
	if want := `--listen: "foo" is not an address: want host:port`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	_, err = config.Load("gone.yaml", config.Overrides{})
	if want := "gone.yaml: can't open it: no such file or directory"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestPublicURL(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"from listen", "listen: '[::1]:80'", "http://[::1]:80"},
		{"known once it listens", "listen: 127.0.0.1:0", ""},
		{"without its final slash", "public_url: https://h/p/", "https://h/p"},
		{"beyond loopback when allowed", "listen: 192.0.2.1:80\nallow_plain_http: true", "http://192.0.2.1:80"},
		{"by name", "listen: localhost:80", "http://localhost:80"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := load(t, tt.text)
			if err != nil || c.PublicURL != tt.want {
				t.Errorf("public URL = %q, %v; want %q", c.PublicURL, err, tt.want)
			}
		})
	}
}

func TestTLSAllowsAnyAddress(t *testing.T) {
	dir := t.TempDir()
	writeKeyPair(t, dir, "a")
	writeKeyPair(t, dir, "b")
	text := "listen: 192.0.2.1:443\ntls: {cert: %s/a.crt, key: %s/%s.key}\n"
	c, err := load(t, fmt.Sprintf(text, dir, dir, "a"))
	if err != nil || c.PublicURL != "https://192.0.2.1:443" {
		t.Fatalf("public URL = %q, %v", c.PublicURL, err)
	}
	_, err = load(t, fmt.Sprintf(text, dir, dir, "b"))
	if want := "holdfast.yaml: tls: tls: private key does not match public key"; err == nil || err.Error() != want {
		t.Errorf("another key: got %v, want %s", err, want)
	}
	if err := os.Chmod(dir+"/a.key", 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = load(t, fmt.Sprintf(text, dir, dir, "a"))
	if err == nil || !strings.Contains(err.Error(), "tls.key: "+dir+"/a.key can be read by others (mode 0644)") {
		t.Errorf("open key: got %v", err)
	}
}

func TestSecretsFromTheEnvironment(t *testing.T) {
	t.Setenv(config.EnvDatabaseURL, "postgres:///holdfast?host=/run/postgresql")
	t.Setenv(config.EnvDatabasePassword, "hunter2")
	c, err := load(t, "")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Database.URL.Reveal(), "postgres:///holdfast?host=%2Frun%2Fpostgresql&password=hunter2"; got != want {
		t.Errorf("URL = %s, want %s", got, want)
	}
	_, err = load(t, "database: {url: 'postgres://h/d'}")
	if want := "holdfast.yaml: database: HOLDFAST_DATABASE_URL is set too: keep one of them"; err == nil || err.Error() != want {
		t.Errorf("two URLs: got %v, want %s", err, want)
	}
	t.Setenv(config.EnvDatabaseURL, "mysql://u:hunter2@h/d")
	_, err = load(t, "")
	if want := "holdfast.yaml: HOLDFAST_DATABASE_URL: must begin with postgres://"; err == nil || err.Error() != want {
		t.Errorf("bad URL: got %v, want %s", err, want)
	}
}

func TestFileWithASecretMustBePrivate(t *testing.T) {
	withHash := "identity: {users: [{name: a, password_hash: '" + hash + "'}]}"
	for _, tt := range []struct {
		name, text string
		mode       fs.FileMode
		want       string
	}{
		{"password in the URL, open", "database: {url: 'postgres://u:hunter2@h/d'}", 0o644, "database.url"},
		{"password in the query, open", "database: {url: 'postgres://h/d?password=hunter2'}", 0o644, "database.url"},
		{"hash, open", withHash, 0o604, "identity.users[0].password_hash"},
		{"hash, for its group", withHash, 0o640, ""},
		{"no secret, open", "database: {url: 'postgres://u@h/d'}", 0o644, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := write(t, t.TempDir(), "holdfast.yaml", tt.text, tt.mode)
			_, err := config.Load(path, config.Overrides{})
			if tt.want == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			want := fmt.Sprintf("%s: %s: a secret stands in this file, which others can read (mode %04o): make it 0600 or 0640", path, tt.want, tt.mode)
			if err == nil || err.Error() != want {
				t.Errorf("\n got %v\nwant %s", err, want)
			}
		})
	}
}

func TestSecretIsNeverPrinted(t *testing.T) {
	c := config.Default()
	c.Database.URL = "postgres://u:hunter2@h/d"
	c.Store.S3.AccessKey, c.Store.S3.SecretKey = "hunter2", "hunter2"
	c.Identity.Users = []config.User{{Name: "a", Password: "hunter2", PasswordHash: "hunter2"}}
	asJSON, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("start", "config", c, "url", c.Database.URL)
	for _, text := range []string{
		string(asJSON), string(asYAML), log.String(),
		fmt.Sprintf("%v %+v %#v %s %q %x", c, c, c, c.Database.URL, c.Database.URL, c.Database.URL),
	} {
		if strings.Contains(text, "hunter2") || strings.Contains(text, fmt.Sprintf("%x", "hunter2")) {
			t.Errorf("the secret is in %s", text)
		}
		if !strings.Contains(text, "[redacted]") {
			t.Errorf("no sign of a secret in %s", text)
		}
	}
}
