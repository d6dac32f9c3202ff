// Package identity is the embedded identity service's face: as much of
// Keystone's v3 API (https://docs.openstack.org/api-ref/identity/v3/) as
// clients need to log in, to find the other faces and to look up names.
package identity
