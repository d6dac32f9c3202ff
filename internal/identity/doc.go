// Package identity is the embedded identity service: the users, projects and
// tokens of an installation that has no Keystone.
//
// Users and projects come from the configuration (Sync), or are the embedded
// default's one admin (EnsureAdmin). There is one domain. A token is 256
// random bits of which only the SHA-256 is stored; it ends with its time, by
// revocation, and with every change of its user's password or roles. Tokens
// are looked up in the catalog at each request, so that an end is seen at
// once by all processes.
//
// A login costs the same work whether the user is unknown or the password is
// wrong, at most two passwords are hashed at a time, and failures slow down
// further attempts for the same user name and from the same address.
package identity
