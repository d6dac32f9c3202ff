// Package vault is the engine: it stores volumes as deduplicated, compressed
// and sealed blocks in an object store, and brings them back exactly or fails
// loudly. Each vault is one project's: its own keys, its own deduplication.
//
// A backup is a tree of pages (package maps) that name blocks in packs; its
// record holds the root. Backups share pages and blocks, none needs another.
// Whoever keeps the catalog orders writers by the Fence and says where packs
// lie; without it OpenBare reads a store alone.
package vault
