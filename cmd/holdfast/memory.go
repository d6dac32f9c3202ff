package main

import (
	"os"
	"runtime/debug"
)

// garbagePercent is how much the heap grows between two collections. Nearly
// all of it are large buffers without pointers: collecting them twice as often
// as is usual costs next to nothing, and keeps what a finished job leaves
// behind from adding to what the next one takes.
const garbagePercent = 50

// spareMemory has garbage collected early, unless the environment says how.
func spareMemory() {
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(garbagePercent)
	}
}
