package config

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
)

// The environment variables that the keys of a bucket may come from.
const (
	EnvS3AccessKey = "HOLDFAST_S3_ACCESS_KEY"
	EnvS3SecretKey = "HOLDFAST_S3_SECRET_KEY"
)

// Store says where backup data goes: a folder, or a bucket where one is named.
type Store struct {
	Local LocalStore `yaml:"local"`
	S3    S3Store    `yaml:"s3"`
}

// LocalStore is a store in a folder.
type LocalStore struct {
	Path            string `yaml:"path"`
	UploadMiBPerS   int    `yaml:"upload_mib_per_s"`   // what is written; 0: as fast as can be
	DownloadMiBPerS int    `yaml:"download_mib_per_s"` // what is read; 0: as fast as can be
}

// S3Store is a store in a bucket.
type S3Store struct {
	Endpoint  string `yaml:"endpoint"` // http or https URL of a host; empty: Amazon's, by region
	Region    string `yaml:"region"`
	Bucket    string `yaml:"bucket"` // empty: the store is local
	Prefix    string `yaml:"prefix"` // of keys, without a final slash
	PathStyle bool   `yaml:"path_style"`

	AccessKeyFile string `yaml:"access_key_file"`
	SecretKeyFile string `yaml:"secret_key_file"`
	AccessKey     Secret `yaml:"-"` // what the file, or the environment, holds
	SecretKey     Secret `yaml:"-"`
	CAFile        string `yaml:"ca_file"` // PEM; empty: the system's

	Requests        int `yaml:"requests"`           // at once, reads and writes each
	UploadMiBPerS   int `yaml:"upload_mib_per_s"`   // 0: as fast as can be
	DownloadMiBPerS int `yaml:"download_mib_per_s"` // 0: as fast as can be
}

// DefaultS3 returns what is taken for the keys of store.s3 that are not given.
func DefaultS3() S3Store {
	return S3Store{Region: "us-east-1", PathStyle: true, Requests: 32}
}

// Enabled reports whether the store is in a bucket.
func (s S3Store) Enabled() bool { return s.Bucket != "" }

const maxBandwidth = 1 << 20 // MiB a second

var (
	bucketName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{1,254}$`)
	regionName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)
	keyPrefix  = regexp.MustCompile(`^[a-zA-Z0-9._-]+(/[a-zA-Z0-9._-]+)*$`)
)

func (s Store) check() error {
	if !s.S3.Enabled() {
		if s.S3 != DefaultS3() {
			return badKey("store.s3.bucket", "must be given where other keys of store.s3 are")
		}
		return s.Local.check()
	}
	if s.Local != (LocalStore{}) {
		return badKey("store", "has both local and s3: keep one of them")
	}
	return s.S3.check("store.s3.")
}

func (s LocalStore) check() error {
	return cmp.Or(
		within("store.local.upload_mib_per_s", int64(s.UploadMiBPerS), 0, maxBandwidth),
		within("store.local.download_mib_per_s", int64(s.DownloadMiBPerS), 0, maxBandwidth),
	)
}

// check checks a bucket's keys, which begin with prefix.
func (s S3Store) check(prefix string) error {
	if err := checkEndpoint(s.Endpoint); err != nil {
		return badKey(prefix+"endpoint", "%w", err)
	}
	switch {
	case !bucketName.MatchString(s.Bucket):
		return badKey(prefix+"bucket", "%.80q is not a bucket's name", s.Bucket)
	case !regionName.MatchString(s.Region):
		return badKey(prefix+"region", "%.80q is not a region's name", s.Region)
	case len(s.Prefix) > 256, s.Prefix != "" && !plainPrefix(s.Prefix):
		return badKey(prefix+"prefix", "%.80q is not made of [a-zA-Z0-9._-], with single slashes between", s.Prefix)
	case s.AccessKeyFile == "" != (s.SecretKeyFile == ""):
		return badKey(prefix+"access_key_file", "needs secret_key_file too, and the other way round")
	}
	return cmp.Or(
		within(prefix+"requests", int64(s.Requests), 1, 1024),
		within(prefix+"upload_mib_per_s", int64(s.UploadMiBPerS), 0, maxBandwidth),
		within(prefix+"download_mib_per_s", int64(s.DownloadMiBPerS), 0, maxBandwidth),
	)
}

func plainPrefix(s string) bool {
	for part := range strings.SplitSeq(s, "/") {
		if part == "." || part == ".." {
			return false
		}
	}
	return keyPrefix.MatchString(s)
}

// checkEndpoint accepts nothing, or an http or https URL of a host alone.
func checkEndpoint(endpoint string) error {
	if endpoint == "" {
		return nil
	}
	u, err := url.Parse(endpoint)
	switch {
	case err != nil:
		return errors.New("not a URL") // the parser's words would repeat what may hold a password
	case u.User != nil:
		return errors.New("must not hold a user or password")
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", u.Opaque != "",
		u.Path != "" && u.Path != "/", u.RawQuery != "", u.ForceQuery, u.Fragment != "":
		return fmt.Errorf("%q is not an http or https URL of a host alone", endpoint)
	}
	return nil
}

// readSecrets reads the keys of the bucket, from their files or from the
// environment, and makes sure that the certificates can be used.
func (s *Store) readSecrets() error {
	if !s.S3.Enabled() {
		return nil
	}
	var err error
	if s.S3.AccessKey, err = secretOf("store.s3.access_key_file", s.S3.AccessKeyFile, EnvS3AccessKey); err != nil {
		return err
	}
	if s.S3.SecretKey, err = secretOf("store.s3.secret_key_file", s.S3.SecretKeyFile, EnvS3SecretKey); err != nil {
		return err
	}
	if _, err := s.S3.Roots(); err != nil {
		return badKey("store.s3.ca_file", "%w", err)
	}
	return nil
}

// secretOf reads a secret from a file, or from the environment where no file
// is named.
func secretOf(key, file, env string) (Secret, error) {
	if file != "" {
		secret, err := ReadSecret(file)
		if err != nil {
			return "", badKey(key, "%w", err)
		}
		return secret, nil
	}
	secret := os.Getenv(env)
	if secret == "" {
		return "", badKey(key, "must be given, or %s be set", env)
	}
	if err := checkSecret(secret); err != nil {
		return "", badKey(env, "%w", err)
	}
	return Secret(secret), nil
}

// Roots returns the certificates of CAFile, nil for the system's.
func (s S3Store) Roots() (*x509.CertPool, error) {
	if s.CAFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(s.CAFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", s.CAFile)
	}
	return roots, nil
}

// ParseStore reads where a bare store is: a folder, or a bucket as
// s3://bucket/prefix?endpoint=https://host, with region, path_style and
// ca_file as further parameters. The keys of a bucket come from the
// environment. An error repeats no secret.
func ParseStore(place string) (Store, error) {
	rest, ok := strings.CutPrefix(place, "s3://")
	if !ok {
		return Store{Local: LocalStore{Path: place}}, nil
	}
	u, err := url.Parse("s3://" + rest)
	if err != nil {
		return Store{}, errors.New("not a URL such as s3://bucket/prefix?endpoint=https://host")
	}
	if u.User != nil {
		return Store{}, fmt.Errorf("keys don't stand in the URL: set %s and %s", EnvS3AccessKey, EnvS3SecretKey)
	}
	s := DefaultS3()
	s.Bucket, s.Prefix = u.Host, strings.Trim(u.Path, "/")
	if err := s.setParameters(u.RawQuery); err != nil {
		return Store{}, err
	}
	if s.Bucket == "" {
		return Store{}, errors.New("the URL names no bucket, as s3://bucket/prefix does")
	}
	store := Store{S3: s}
	if err := s.check(""); err != nil {
		return Store{}, err
	}
	for _, env := range []string{EnvS3AccessKey, EnvS3SecretKey} {
		if os.Getenv(env) == "" {
			return Store{}, fmt.Errorf("%s must be set", env)
		}
	}
	return store, store.readSecrets()
}

func (s *S3Store) setParameters(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("the URL's parameters can't be read")
	}
	for name, v := range values {
		if len(v) > 1 {
			return fmt.Errorf("%.40q is given twice", name)
		}
		switch name {
		case "endpoint":
			s.Endpoint = v[0]
		case "region":
			s.Region = v[0]
		case "ca_file":
			s.CAFile = v[0]
		case "path_style":
			if v[0] != "true" && v[0] != "false" {
				return fmt.Errorf("path_style: %.40q is neither true nor false", v[0])
			}
			s.PathStyle = v[0] == "true"
		default:
			return fmt.Errorf("unknown parameter %.40q: there are endpoint, region, path_style and ca_file", name)
		}
	}
	return nil
}

// String says where the store is.
func (s Store) String() string {
	if !s.S3.Enabled() {
		return s.Local.Path
	}
	return strings.TrimSuffix("s3://"+s.S3.Bucket+"/"+s.S3.Prefix, "/")
}
