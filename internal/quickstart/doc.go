// Package quickstart shows the main job on real bytes: it starts the service
// on its embedded default, and then acts as an ordinary client of the block
// storage API that fills a volume, backs it up twice, restores both backups
// and compares every byte.
//
// What the volume holds comes from a seed, at any moment and for any part of
// it, so that nothing has to be kept for the comparison.
package quickstart
