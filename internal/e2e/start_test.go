package e2e_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// refused expects that the server doesn't start: exit status 2, and one line
// that matches a pattern.
func (s *server) refused(pattern string) {
	s.t.Helper()
	before := s.log.len()
	s.spawn()
	code := -1
	select {
	case <-s.ended:
		code = s.cmd.ProcessState.ExitCode()
		s.cmd = nil
	case <-time.After(30 * time.Second):
		s.t.Errorf("the server runs, want a refusal like %q", pattern)
		s.kill(syscall.SIGKILL)
	}
	said := s.log.since(before)
	if code != 2 || strings.Count(said, "\n") != 1 || !regexp.MustCompile(pattern).MatchString(said) {
		s.t.Errorf("exit status %d, want 2 and one line like %q:\n%s", code, pattern, said)
		return
	}
	s.t.Logf("refused: %s", strings.TrimSpace(said))
}

// A configuration that can't work is refused in one line, before anything is
// made.
func TestConfigurationIsRefused(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { taken.Close() })
	openFile := write(t, "open", "secret\n")
	must(t, os.Chmod(openFile, 0o640))
	user := func(password string) string {
		return "identity: {projects: [{name: p}], users: [{name: u, " + password + ", projects: [{name: p, roles: [member]}]}]}\n"
	}
	for name, tt := range map[string]struct {
		set     settings
		pattern string
	}{
		"busy address":            {settings{listen: taken.Addr().String()}, `listen: 127.0.0.1:\d+ is in use`},
		"wildcard without a URL":  {settings{listen: "0.0.0.0:0", more: "allow_plain_http: true\n"}, `public_url: must be given`},
		"IPv6 wildcard":           {settings{listen: "[::]:0", more: "allow_plain_http: true\n"}, `public_url: must be given`},
		"plain HTTP for all":      {settings{listen: "0.0.0.0:0", more: "public_url: http://h\n"}, `listen: .* is not a loopback address: give tls, or set allow_plain_http: true`},
		"plain HTTP of a face":    {settings{more: "listeners: [{face: image, listen: \"192.0.2.1:1\"}]\n"}, `listeners\[0\]\.listen: .* is not a loopback address`},
		"admin page for all":      {settings{admin: "0.0.0.0:0"}, `admin.listen: .* is not a loopback address`},
		"unknown key":             {settings{more: "colour: blue\n"}, `colour: unknown key \(line 5\)`},
		"unknown key deep inside": {settings{more: "engine: {colour: blue}\n"}, `engine.colour: unknown key`},
		"bad value":               {settings{more: "jobs: {workers: many}\n"}, `jobs.workers: "many" is not a whole number`},
		"bad level":               {settings{level: "loud"}, `log.level: "loud" is none of`},
		"missing secret":          {settings{more: user("password_file: /nonexistent/x")}, `identity.users\[0\].password_file: .*no such file`},
		"secret open to others":   {settings{more: user("password_file: " + openFile)}, `identity.users\[0\].password_file: .* can be read by others`},
		"missing certificate":     {settings{more: "tls: {cert: /nonexistent/c, key: /nonexistent/k}\n"}, `tls\.(cert|key): .*no such file`},
		"certificate without key": {settings{more: "tls: {cert: /nonexistent/c}\n"}, `tls: needs both cert and key`},
		"missing key file":        {settings{more: "master_key_file: /nonexistent/key\n"}, `master_key_file: .*no such file`},
		"unreachable database":    {settings{more: "database: {url: \"postgres://127.0.0.1:1/none?connect_timeout=2\"}\n"}, `database: .*connection refused`},
		"not YAML":                {settings{more: "]["}, `holdfast.yaml`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, tt.set)
			s.refused(tt.pattern)
			if _, err := os.Stat(filepath.Join(s.dir, "master.key")); err == nil {
				t.Error("a master key was made nevertheless")
			}
		})
	}
}

// A data folder that others can get at, or that has lost its key or its
// store, stops the start, and a later one finds all as it was.
func TestFolderIsRefused(t *testing.T) {
	t.Parallel()
	s := newServer(t, settings{})
	s.start()
	volume := s.createVolume("disk", 1)
	fill(t, newRand(t), s.volumeFile(volume), 0, 1<<20)
	backup := s.finishBackup(volume, false)
	held := digest(t, s.volumeFile(volume))
	s.kill(syscall.SIGTERM)

	key, clouds := filepath.Join(s.dir, "master.key"), filepath.Join(s.dir, "clouds.yaml")
	for _, tt := range []struct {
		path      string
		bad, good os.FileMode
		pattern   string
	}{
		{key, 0o640, 0o600, `master.key is open to other users \(mode 0640\): run chmod 600 `},
		{clouds, 0o644, 0o600, `clouds.yaml can be read by others: chmod 600 `},
		{s.dir, 0o750, 0o700, `data folder .* can be entered by others: chmod 700 `},
	} {
		must(t, os.Chmod(tt.path, tt.bad))
		s.refused(tt.pattern)
		must(t, os.Chmod(tt.path, tt.good))
	}

	whole, err := os.ReadFile(key)
	must(t, err)
	must(t, os.Remove(key))
	s.refused(`master key file .*master.key is missing: without it no backup can be read`)
	if _, err := os.Stat(key); err == nil {
		t.Error("a new master key was made in the place of the one that is missing")
	}
	must(t, os.WriteFile(key, []byte("nonsense\n"), 0o600))
	s.refused(`master key file .*master.key: `)
	other := newServer(t, settings{})
	other.launch()
	foreign, err := os.ReadFile(filepath.Join(other.dir, "master.key"))
	must(t, err)
	must(t, os.WriteFile(key, foreign, 0o600))
	s.refused(`master.key holds another key than this store's vaults need`)
	must(t, os.WriteFile(key, whole, 0o600))

	store := filepath.Join(s.dir, "store")
	must(t, os.Rename(store, store+".away"))
	s.refused(`store: .*no object store here`)
	must(t, os.Rename(store+".away", store))
	s.resume()
	s.comesBack(backup, held)
}

// A second process on the same folder and address is refused; the first one
// goes on.
func TestSecondProcess(t *testing.T) {
	t.Parallel()
	s := newServer(t, settings{})
	s.start()
	second := newServer(t, settings{data: s.dir, listen: strings.TrimPrefix(s.url, "http://")})
	second.refused(`listen: 127.0.0.1:\d+ is in use by another program`)
	s.createVolume("disk", 1)
}

// certificate makes a self-signed certificate for 127.0.0.1.
func certificate(t testing.TB) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "holdfast test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	must(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return write(t, "tls.crt", string(certPEM)),
		write(t, "tls.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))), pool
}

// With a certificate every link is https, and old protocols are refused.
func TestTLS(t *testing.T) {
	t.Parallel()
	cert, key, pool := certificate(t)
	s := newServer(t, settings{more: "tls: {cert: " + cert + ", key: " + key + "}\n"})
	s.launch()
	if !strings.HasPrefix(s.url, "https://127.0.0.1:") {
		t.Fatalf("the server serves %s", s.url)
	}
	get := func(config *tls.Config, url string) (answer, error) {
		config.RootCAs = pool
		req, err := http.NewRequest("GET", url, nil)
		must(t, err)
		return send(&http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}, req)
	}
	a, err := get(&tls.Config{}, s.url+"/volume/v3/")
	must(t, err)
	if a.code != http.StatusOK || !strings.Contains(string(a.raw), `"`+s.url+`/volume/v3/"`) {
		t.Errorf("over TLS: %d %s", a.code, a.raw)
	}
	if _, err := get(&tls.Config{MaxVersion: tls.VersionTLS11}, s.url); err == nil {
		t.Error("TLS 1.1 is served")
	}
	if a, err := get(&tls.Config{}, strings.Replace(s.url, "https", "http", 1)); err == nil && a.code != http.StatusBadRequest {
		t.Errorf("plain HTTP is answered %d", a.code)
	}
	clouds, err := os.ReadFile(filepath.Join(s.dir, "clouds.yaml"))
	must(t, err)
	if !bytes.Contains(clouds, []byte("auth_url: "+s.url+"/identity/v3\n")) {
		t.Errorf("clouds.yaml doesn't name %s", s.url)
	}

	must(t, os.Chmod(key, 0o644))
	s.kill(syscall.SIGTERM)
	s.refused(`tls\.key: .*(read by others|open to)`)
}

// freeAddress returns an address of loopback that nobody listens on.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

// links finds every URL in an answer.
var links = regexp.MustCompile(`https?://[^"\s<>]+`)

// Faces with a listener of their own answer there without a prefix, and still
// answer under it on the main one. No link follows what a client says of
// hosts.
func TestListeners(t *testing.T) {
	t.Parallel()
	volume, identity, image := freeAddress(t), freeAddress(t), freeAddress(t)
	s := newServer(t, settings{more: "listeners:" +
		"\n  - {face: block-storage, listen: \"" + volume + "\"}" +
		"\n  - {face: identity, listen: \"" + identity + "\"}" +
		"\n  - {face: image, listen: \"" + image + "\", public_url: \"https://image.example\"}\n"})
	s.start()
	id := s.createVolume("disk", 1)
	hosts := map[string]bool{s.url: true, "http://" + volume: true, "http://" + identity: true, "https://image.example": true}
	for _, tt := range []struct {
		url  string
		code int
	}{
		{s.url + "/", 200},
		{s.url + "/volume/", 300},
		{s.url + "/volume/v3/", 200},
		{s.url + "/volume/v3/" + s.project + "/volumes/" + id, 200},
		{s.url + "/volume/v3/volumes/" + id, 200},
		{s.url + "/volume/v3/" + s.project + "/volumes?limit=1", 200},
		{s.url + "/v3/" + s.project + "/volumes", 404},
		{s.url + "/identity/", 300},
		{s.url + "/identity/v3/", 200},
		{s.url + "/identity/v3/auth/catalog", 200},
		{s.url + "/image/", 300},
		{s.url + "/image/v2/images", 200},
		{"http://" + volume + "/", 300},
		{"http://" + volume + "/v3/", 200},
		{"http://" + volume + "/v3/" + s.project + "/volumes/" + id, 200},
		{"http://" + volume + "/v3/volumes/" + id, 200},
		{"http://" + volume + "/v3/" + s.project + "/volumes/detail?limit=1", 200},
		{"http://" + volume + "/volume/v3/", 404},
		{"http://" + identity + "/", 300},
		{"http://" + identity + "/v3/", 200},
		{"http://" + identity + "/v3/auth/catalog", 200},
		{"http://" + image + "/", 300},
		{"http://" + image + "/v2/images", 200},
	} {
		req, err := http.NewRequest("GET", tt.url, nil)
		must(t, err)
		req.Host = "evil.example"
		for name, value := range map[string]string{
			"X-Auth-Token": s.token, "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "X-Forwarded-Port": "666",
			"X-Forwarded-Prefix": "/evil", "X-Forwarded-Server": "evil.example", "Forwarded": "host=evil.example;proto=https",
			"X-Forwarded-For": "203.0.113.9", "X-Original-URL": "/evil", "X-Host": "evil.example",
		} {
			req.Header.Set(name, value)
		}
		a, err := send(httpClient, req)
		must(t, err)
		if a.code != tt.code {
			t.Errorf("GET %s: %d, want %d: %s", tt.url, a.code, tt.code, a.raw)
		}
		if strings.Contains(string(a.raw), "evil") || a.header.Get("Location") != "" && strings.Contains(a.header.Get("Location"), "evil") {
			t.Errorf("GET %s follows the client's host: %s", tt.url, a.raw)
		}
		for _, link := range links.FindAllString(string(a.raw), -1) {
			host := strings.Join(strings.SplitN(link, "/", 4)[:3], "/")
			if !hosts[host] && host != "https://docs.openstack.org" && host != "http://docs.openstack.org" {
				t.Errorf("GET %s links to %s", tt.url, link)
			}
		}
	}
	if strings.Contains(s.log.String(), "client=203.0.113.9") {
		t.Error("an untrusted client's X-Forwarded-For is believed")
	}
}

// The public URL is in every link, in the catalog and in clouds.yaml, whatever
// the listener's own address, and a trusted proxy says who asks.
func TestPublicURL(t *testing.T) {
	t.Parallel()
	const public = "https://cloud.example/holdfast"
	_, port, err := net.SplitHostPort(freeAddress(t))
	must(t, err)
	s := newServer(t, settings{listen: "0.0.0.0:" + port, more: "public_url: " + public + "\nallow_plain_http: true\n" +
		"trusted_proxies: [127.0.0.0/8]\n"})
	s.launch()
	if s.url != public {
		t.Errorf("the server serves %s", s.url)
	}
	clouds, err := os.ReadFile(filepath.Join(s.dir, "clouds.yaml"))
	must(t, err)
	if !bytes.Contains(clouds, []byte("auth_url: "+public+"/identity/v3\n")) {
		t.Errorf("clouds.yaml: %s", regexp.MustCompile(`auth_url.*`).Find(clouds))
	}
	req, err := http.NewRequest("GET", "http://127.0.0.1:"+port+"/volume/v3/", nil)
	must(t, err)
	req.Header.Set("X-Forwarded-For", "198.51.100.1, 203.0.113.9")
	req.Header.Set("X-Forwarded-Host", "evil.example")
	a, err := send(httpClient, req)
	must(t, err)
	if !strings.Contains(string(a.raw), `"`+public+`/volume/v3/"`) || strings.Contains(string(a.raw), "evil") {
		t.Errorf("links behind a proxy: %s", a.raw)
	}
	within(t, 5*time.Second, "the client whom the proxy names to be in the log", func() bool {
		return strings.Contains(s.log.String(), "client=203.0.113.9")
	})
}

// The admin listener takes a free port where its own is taken, and says so.
func TestAdminPortIsTaken(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	s := newServer(t, settings{admin: taken.Addr().String()})
	s.start()
	if strings.HasSuffix(s.admin, taken.Addr().String()) {
		t.Fatalf("the admin listener is at %s, which is taken", s.admin)
	}
	if a := s.call("GET", s.admin+"/healthz", nil); a.code != http.StatusOK {
		t.Errorf("healthz: %d", a.code)
	}
}

// config check tells the same as a start does.
func TestConfigCheck(t *testing.T) {
	t.Parallel()
	good, bad := newServer(t, settings{}), newServer(t, settings{more: "engine: {workers: -1}\n"})
	if out, err := exec.Command(program, "config", "check", "--config", good.conf).CombinedOutput(); err != nil {
		t.Errorf("a good file: %v: %s", err, out)
	}
	out, err := exec.Command(program, "config", "check", "--config", bad.conf).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "engine.workers: -1 is not between") {
		t.Errorf("a bad file: %v: %s", err, out)
	}
	if _, err := os.Stat(good.dir); err == nil {
		t.Error("a check made the data folder")
	}
}
