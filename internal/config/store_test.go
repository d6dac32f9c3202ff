package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/config"
)

func TestKeysOfTheBucketFromTheEnvironment(t *testing.T) {
	t.Setenv(config.EnvS3AccessKey, "known")
	t.Setenv(config.EnvS3SecretKey, "hunter2")
	c, err := load(t, "store: {s3: {bucket: abc, prefix: a/b}}")
	if err != nil {
		t.Fatal(err)
	}
	want := config.DefaultS3()
	want.Bucket, want.Prefix, want.AccessKey, want.SecretKey = "abc", "a/b", "known", "hunter2"
	if diff := cmp.Diff(config.Store{S3: want}, c.Store); diff != "" {
		t.Errorf("store (-want +got):\n%s", diff)
	}
	t.Setenv(config.EnvS3SecretKey, "hunter2\nhunter3")
	_, err = load(t, "store: {s3: {bucket: abc}}")
	if want := "holdfast.yaml: HOLDFAST_S3_SECRET_KEY: holds more than one line"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestParseStore(t *testing.T) {
	t.Setenv(config.EnvS3AccessKey, "known")
	t.Setenv(config.EnvS3SecretKey, "hunter2")
	bucket := func(change func(*config.S3Store)) config.Store {
		s := config.DefaultS3()
		s.AccessKey, s.SecretKey = "known", "hunter2"
		change(&s)
		return config.Store{S3: s}
	}
	for place, want := range map[string]config.Store{
		"/srv/store": {Local: config.LocalStore{Path: "/srv/store"}},
		"./s3:/x":    {Local: config.LocalStore{Path: "./s3:/x"}},
		"s3://abc":   bucket(func(s *config.S3Store) { s.Bucket = "abc" }),
		"s3://abc/":  bucket(func(s *config.S3Store) { s.Bucket = "abc" }),
		"s3://abc/a/b?endpoint=http://127.0.0.1:7070&region=eu-1&path_style=false": bucket(func(s *config.S3Store) {
			s.Bucket, s.Prefix, s.Endpoint, s.Region, s.PathStyle = "abc", "a/b", "http://127.0.0.1:7070", "eu-1", false
		}),
	} {
		got, err := config.ParseStore(place)
		if err != nil {
			t.Errorf("%s: %v", place, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", place, diff)
		}
	}
	for place, want := range map[string]string{
		"s3://":                        "the URL names no bucket, as s3://bucket/prefix does",
		"s3:///a":                      "the URL names no bucket, as s3://bucket/prefix does",
		"s3://known:hunter2@abc":       "keys don't stand in the URL: set HOLDFAST_S3_ACCESS_KEY and HOLDFAST_S3_SECRET_KEY",
		"s3://abc?secret=hunter2":      `unknown parameter "secret": there are endpoint, region, path_style and ca_file`,
		"s3://abc?region=a&region=b":   `"region" is given twice`,
		"s3://abc?path_style=maybe":    `path_style: "maybe" is neither true nor false`,
		"s3://abc?endpoint=ftp://h":    `endpoint: "ftp://h" is not an http or https URL of a host alone`,
		"s3://abc/a//b":                `prefix: "a//b" is not made of [a-zA-Z0-9._-], with single slashes between`,
		"s3://abc?ca_file=gone":        "store.s3.ca_file: open gone: no such file or directory",
		"s3://abc?endpoint=%zz":        "the URL's parameters can't be read",
		"s3://a\x7fb?endpoint=hunter2": "not a URL such as s3://bucket/prefix?endpoint=https://host",
	} {
		_, err := config.ParseStore(place)
		if err == nil || err.Error() != want || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q:\n got %v\nwant %s", place, err, want)
		}
	}
	t.Setenv(config.EnvS3AccessKey, "")
	if _, err := config.ParseStore("s3://abc"); err == nil || err.Error() != "HOLDFAST_S3_ACCESS_KEY must be set" {
		t.Errorf("without keys: %v", err)
	}
}
