// Package service holds Holdfast's use cases and is the only home of its
// business rules: each call authorises the caller, checks the state of what
// it touches, and writes rows and jobs in one transaction. Faces translate
// between it and their wire; workers do what its jobs ask.
//
// Errors are *backup.Error. A thing of another project answers as one that
// does not exist.
package service
