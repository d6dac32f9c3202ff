// Package volume reads and writes the volumes that are backed up and restored:
// raw files and block devices, and the folder of local volumes that a host
// without another inventory keeps. It says what changed between two instants
// of a local volume where the file system can tell.
//
// Sources and targets satisfy the vault's interfaces by their methods alone.
// The package works on Linux.
package volume
