// Package config reads and checks Holdfast's configuration: one strict YAML
// file, every key of which is described in docs/holdfast.example.yaml. Secrets
// come from files or from the environment; none is ever part of an error or
// of a printed configuration.
package config

import (
	"net/netip"
	"time"
)

// Config is the whole configuration. The zero value is of no use: start from
// Default or Load.
type Config struct {
	Data           string         `yaml:"data"`       // folder of everything local
	Listen         string         `yaml:"listen"`     // host:port of the main listener
	PublicURL      string         `yaml:"public_url"` // what clients reach it by, without a final slash
	TLS            TLS            `yaml:"tls"`        // of the main listener
	Listeners      []Listener     `yaml:"listeners"`  // faces with a listener of their own
	Admin          Admin          `yaml:"admin"`
	TrustedProxies []netip.Prefix `yaml:"trusted_proxies"`  // whose X-Forwarded-* counts
	AllowPlainHTTP bool           `yaml:"allow_plain_http"` // beyond loopback
	Database       Database       `yaml:"database"`
	Store          Store          `yaml:"store"`
	MasterKeyFile  string         `yaml:"master_key_file"`

	MasterKeyPassphraseFile string   `yaml:"master_key_passphrase_file"`
	MasterKeyPassphrase     Secret   `yaml:"-"`                   // what the file or the environment holds
	RecoveryRecipients      []string `yaml:"recovery_recipients"` // age recipients

	Volumes     Volumes     `yaml:"volumes"`
	Identity    Identity    `yaml:"identity"`
	Quotas      Quotas      `yaml:"quotas"`
	Compat      Compat      `yaml:"compat"`
	Engine      Engine      `yaml:"engine"`
	Jobs        Jobs        `yaml:"jobs"`
	Maintenance Maintenance `yaml:"maintenance"`
	Log         Log         `yaml:"log"`
	Limits      Limits      `yaml:"limits"`
}

// TLS names a certificate chain and its key, both PEM files. Both empty: plain
// HTTP.
type TLS struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
}

// Enabled reports whether a certificate is given.
func (t TLS) Enabled() bool { return t.Cert != "" }

// Listener gives one face an address of its own, where it answers without a
// path prefix.
type Listener struct {
	Face      string `yaml:"face"` // one of Faces
	Listen    string `yaml:"listen"`
	PublicURL string `yaml:"public_url"`
	TLS       TLS    `yaml:"tls"`
}

// The faces that can have a listener of their own.
const (
	BlockStorage = "block-storage"
	IdentityFace = "identity"
	Image        = "image"
)

// Faces returns the names that Listener.Face may have.
func Faces() []string { return []string{BlockStorage, IdentityFace, Image} }

// Admin is the listener of health, readiness and metrics.
type Admin struct {
	Listen string `yaml:"listen"`
	Pprof  bool   `yaml:"pprof"`
}

// Database says where the catalog is. After Load, URL is complete, password
// included; empty means SQLite in the data folder.
type Database struct {
	URL          Secret `yaml:"url"`
	URLFile      string `yaml:"url_file"`
	PasswordFile string `yaml:"password_file"`
}

// Volumes describes the local volumes.
type Volumes struct {
	Path             string       `yaml:"path"`
	AvailabilityZone string       `yaml:"availability_zone"`
	Types            []VolumeType `yaml:"types"` // the first is the default
}

// VolumeType is a kind of volume that tenants may ask for.
type VolumeType struct {
	Name        string `yaml:"name"`
	Description string `yaml:"description"`
}

// Identity describes the embedded identity service. Without users, an admin
// with a random password is made at the first start.
type Identity struct {
	TokenLifetime time.Duration `yaml:"token_lifetime"`
	Projects      []Project     `yaml:"projects"`
	Users         []User        `yaml:"users"`
}

// Project is a tenant. An empty ID is chosen at the first start and kept.
type Project struct {
	Name string `yaml:"name"`
	ID   string `yaml:"id"` // 32 lower-case hex digits, or empty
}

// User is someone who can log in. Of PasswordHash and Password, Load leaves
// one set.
type User struct {
	Name         string  `yaml:"name"`
	PasswordHash Secret  `yaml:"password_hash"` // argon2id in PHC form
	PasswordFile string  `yaml:"password_file"`
	Password     Secret  `yaml:"-"` // what PasswordFile holds
	Projects     []Grant `yaml:"projects"`
}

// Grant gives a user roles in a project.
type Grant struct {
	Name  string   `yaml:"name"`
	Roles []string `yaml:"roles"`
}

// The roles that a grant may name.
const (
	RoleAdmin  = "admin"
	RoleMember = "member"
	RoleReader = "reader"
)

// Quotas are the limits of a project that has none of its own; -1 is
// unlimited. Gigabytes are GiB, as everywhere at the block storage face.
type Quotas struct {
	Volumes            int64 `yaml:"volumes"`
	Snapshots          int64 `yaml:"snapshots"`
	Gigabytes          int64 `yaml:"gigabytes"`
	Backups            int64 `yaml:"backups"`
	BackupGigabytes    int64 `yaml:"backup_gigabytes"`
	PerVolumeGigabytes int64 `yaml:"per_volume_gigabytes"`
}

// Compat switches on behaviour of Cinder's that Holdfast has no need of.
type Compat struct {
	RefuseDeleteWithDependents bool `yaml:"refuse_delete_with_dependents"`
}

// Engine tunes how backup data is made.
type Engine struct {
	Compression    string `yaml:"compression"`      // auto, fast, balanced or small
	Workers        int    `yaml:"workers"`          // a job's; 0: one a processor
	IndexBudgetMiB int    `yaml:"index_budget_mib"` // over all vaults
}

// Jobs tunes the queue.
type Jobs struct {
	Workers   int           `yaml:"workers"` // jobs at once in this process
	Lease     time.Duration `yaml:"lease"`
	Heartbeat time.Duration `yaml:"heartbeat"`
}

// Maintenance says how often each vault is looked after.
type Maintenance struct {
	Every               time.Duration `yaml:"every"`                 // 0: never
	Compression         string        `yaml:"compression"`           // balanced or small
	Heal                bool          `yaml:"heal"`                  // damage that was found, by what is whole
	VerifySamplePercent float64       `yaml:"verify_sample_percent"` // of the data that is read each time; 0: nothing is verified
}

// Log says what is logged and how.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn or error
	Format string `yaml:"format"` // text or json
}

// Limits bounds what one client can ask of the service.
type Limits struct {
	BodyBytes    int64         `yaml:"body_bytes"`    // of a request
	DrainTimeout time.Duration `yaml:"drain_timeout"` // for requests under way at a stop
}

// Default returns the embedded default. Values that follow from others
// (public_url, the paths below the data folder) are empty until Resolve.
func Default() Config {
	return Config{
		Data:   "./holdfast-data",
		Listen: "127.0.0.1:8790",
		Admin:  Admin{Listen: "127.0.0.1:8791"},
		Store:  Store{S3: DefaultS3()},
		Volumes: Volumes{
			AvailabilityZone: "nova",
			Types:            []VolumeType{{Name: "holdfast-local", Description: "Sparse files on this host"}},
		},
		Identity: Identity{TokenLifetime: time.Hour},
		Quotas: Quotas{
			Volumes: -1, Snapshots: -1, Gigabytes: -1,
			Backups: -1, BackupGigabytes: -1, PerVolumeGigabytes: -1,
		},
		Engine:      Engine{Compression: "auto", IndexBudgetMiB: 512},
		Jobs:        Jobs{Workers: 2, Lease: time.Minute, Heartbeat: 10 * time.Second},
		Maintenance: Maintenance{Every: 24 * time.Hour, Compression: "small", Heal: true, VerifySamplePercent: 1},
		Log:         Log{Level: "info", Format: "text"},
		Limits:      Limits{BodyBytes: 1 << 20, DrainTimeout: 30 * time.Second},
	}
}
