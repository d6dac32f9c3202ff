// Package obs shows what the service does: structured logs that carry request
// and job ids and never a secret, metrics, and the admin listener's pages.
package obs
