// Package e2e tests Holdfast from outside: the real binary, real processes
// and signals, plain HTTP, and the bytes on disk.
package e2e
