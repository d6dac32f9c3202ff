// Package sim_test tries to make a vault lose data: by processes that die, go
// on as zombies or overtake each other at any call, by stores that fail in
// every way, by catalogs that are brought back from a dump, and by thousands
// of random operations. Everything follows from a seed; -sim.rounds,
// -sim.operations and -sim.seed make longer runs of it.
package sim_test
