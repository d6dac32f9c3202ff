// Package catalog keeps what Holdfast knows in a database: resources, quotas,
// services, jobs, and the vaults' fence. SQLite and PostgreSQL run one SQL
// text; what differs is how they are opened and how a row is locked.
//
// A transaction is a function given to Update or View. Within Update, reading
// one resource by its id locks its row until the transaction ends, so that
// what was checked still holds when it is written.
//
// Times are stored as microseconds since 1970 in UTC, flags as 0 and 1, maps
// as JSON. No column is NULL: absent is the empty string or 0.
package catalog
