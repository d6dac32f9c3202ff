// Package jobs is the durable queue: work that is enqueued in the transaction
// that asks for it, and runs to its end whatever happens to the processes that
// run it.
//
// A job is claimed by one worker, which is a process. On one host and folder
// the life of a worker is a file that it keeps locked: the kernel lets go of
// the lock when the process dies, and another worker takes the job over at
// once. Between hosts a lease decides, which the worker extends by heartbeats.
// Each claim raises the job's attempt; every transaction that a handler writes
// begins with Guard, so a worker that was taken for dead can change nothing.
//
// Jobs of one lane run one at a time, in the order in which they were asked
// for. Of the rest, the project with the fewest running jobs comes first, then
// the oldest job.
package jobs
