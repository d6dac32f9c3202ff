package worker

import (
	"context"

	"holdfast/internal/catalog"
	"holdfast/internal/jobs"
	"holdfast/internal/vault"
)

// NewFence returns the fence of one attempt at a job.
func NewFence(db *catalog.DB, run *jobs.Run, backup string, commit func(context.Context, *catalog.Tx, vault.Commit) error) vault.Fence {
	return &fence{db: db, run: run, backup: backup, commit: commit}
}

// NewLedger returns the ledger of one attempt at a job.
func NewLedger(db *catalog.DB, run *jobs.Run) vault.Ledger { return &ledger{db: db, run: run} }

// NewReader returns a fence for what only reads.
func NewReader(db *catalog.DB) vault.Fence { return &fence{db: db} }

// StepOf returns the session of a step of a job.
var StepOf = stepOf

// Reason and Classify are what a failure means to a tenant and to the queue.
var (
	Reason   = reason
	Classify = classify
)
