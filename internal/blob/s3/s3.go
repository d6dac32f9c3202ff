// Package s3 is an object store in a bucket that is reached by S3's protocol:
// Amazon's, and any server's that speaks it. It asks for nothing beyond whole
// PUT, ranged GET, HEAD, DELETE and ListObjectsV2; no request hangs on a
// condition, and none is tried twice: that is the caller's part.
//
// Every PUT carries the SHA-256 of its body in what is signed, over HTTPS too:
// it is the one check of what arrives that all servers make.
package s3

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"

	"holdfast/internal/blob"
	"holdfast/internal/blob/limit"
)

// Stall is how long a request may go without any progress, unless Config says
// otherwise: connecting, sending, waiting for the answer, receiving.
const Stall = time.Minute

// maxPrefix bounds Config.Prefix, so that no key is longer than the 1024 bytes
// that S3 takes.
const maxPrefix = 256

// Config says where a store is. Endpoint, or Region for Amazon's own, Bucket
// and both keys are needed.
type Config struct {
	Endpoint  string // http://host:port or https://…; empty: Amazon's, by region
	Region    string // empty: us-east-1
	Bucket    string
	Prefix    string // what the keys of all objects begin with, a name without a final slash; may be empty
	PathStyle bool   // the bucket is in the path, not in the host's name

	AccessKey string
	SecretKey string

	Roots    *x509.CertPool // nil: the system's
	Requests int            // how many at once are expected; 0: 32
	Stall    time.Duration  // 0: the constant
	Upload   *limit.Rate    // may be nil
	Download *limit.Rate    // may be nil
}

// Store is a blob.Store in a bucket. Make one with New.
type Store struct {
	client *s3.Client
	bucket string
	place  string // for people: bucket and prefix
	prefix string // of keys: empty, or ending in a slash
	stall  time.Duration
}

var _ blob.Store = (*Store)(nil)

// New returns the store that cfg names, without asking for it. Its error is
// one line and holds no secret.
func New(cfg Config) (*Store, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("object store on S3: %w", err)
	}
	s := &Store{bucket: cfg.Bucket, place: "bucket " + cfg.Bucket, stall: cfg.Stall}
	if cfg.Prefix != "" {
		s.prefix = cfg.Prefix + "/"
		s.place += " under " + cfg.Prefix
	}
	if s.stall == 0 {
		s.stall = Stall
	}
	s.client = s3.New(cfg.options())
	return s, nil
}

func (c Config) check() error {
	switch {
	case c.Bucket == "":
		return errors.New("no bucket is named")
	case c.AccessKey == "" || c.SecretKey == "":
		return errors.New("access key and secret key are needed")
	case len(c.Prefix) > maxPrefix:
		return fmt.Errorf("the prefix has %d bytes, at most %d are taken", len(c.Prefix), maxPrefix)
	}
	if c.Prefix != "" {
		if err := blob.CheckName(c.Prefix); err != nil {
			return fmt.Errorf("prefix: %w", err)
		}
	}
	if c.Endpoint == "" {
		return nil
	}
	return CheckEndpoint(c.Endpoint)
}

// CheckEndpoint accepts an http or https URL of nothing but a host.
func CheckEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	switch {
	case err != nil || u.User != nil:
		return errors.New("the endpoint is not a URL of scheme, host and port alone") // its text may hold a password
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", u.Opaque != "",
		u.Path != "" && u.Path != "/", u.RawQuery != "", u.ForceQuery, u.Fragment != "":
		return fmt.Errorf("the endpoint %q is not a URL of scheme, host and port alone", endpoint)
	}
	return nil
}

func (c Config) options() s3.Options {
	o := s3.Options{
		Region:                     c.Region,
		UsePathStyle:               c.PathStyle,
		Credentials:                credentials(aws.Credentials{AccessKeyID: c.AccessKey, SecretAccessKey: c.SecretKey, Source: "holdfast"}),
		HTTPClient:                 newClient(c),
		Retryer:                    aws.NopRetryer{},
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
		Logger:                     logging.Nop{},
		APIOptions:                 []func(*middleware.Stack) error{signBodies},
	}
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	if c.Endpoint != "" {
		o.BaseEndpoint = aws.String(strings.TrimSuffix(c.Endpoint, "/"))
	}
	return o
}

// signBodies has the hash of a body signed over HTTPS too, where the library
// would leave it out.
func signBodies(stack *middleware.Stack) error {
	hash := &v4.ComputePayloadSHA256{}
	if _, ok := stack.Finalize.Get(hash.ID()); !ok {
		return nil
	}
	_, err := stack.Finalize.Swap(hash.ID(), hash)
	return err
}

// credentials returns what always gives the same.
func credentials(c aws.Credentials) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return c, nil })
}

// key returns the key of an object, or of what names begin with.
func (s *Store) key(name string) *string { return aws.String(s.prefix + name) }
