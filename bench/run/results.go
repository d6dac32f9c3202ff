package main

import (
	"slices"
)

// sample is what one step took in one round.
type sample struct {
	wall, cpu float64 // seconds
	rss       float64 // MiB
	read      float64 // MiB of the image, where it is said; from S3 by a restore
	gets      float64 // requests to S3
	amplified float64 // what the restore of gen1 reads from S3, as a multiple of what its backup stored
	added     float64 // MiB that the store grew by
	total     float64 // MiB of the store after it
}

// cell names a step of a contender.
type cell struct{ contender, step string }

// results collects samples.
type results struct {
	samples  map[cell][]sample
	failures map[cell]string
}

func newResults() *results {
	return &results{samples: map[cell][]sample{}, failures: map[cell]string{}}
}

func (r *results) add(contender, step string, s sample) {
	c := cell{contender, step}
	r.samples[c] = append(r.samples[c], s)
}

// fail notes why steps have no sample.
func (r *results) fail(contender string, steps []string, err error) {
	for _, step := range steps {
		r.failures[cell{contender, step}] = lastLine(err.Error())
	}
}

// median returns a cell's median of one metric, and whether there is one.
func (r *results) median(c cell, of metric) (float64, bool) {
	samples := r.samples[c]
	if len(samples) == 0 {
		return 0, false
	}
	var values []float64
	for _, s := range samples {
		values = append(values, of(s))
	}
	slices.Sort(values)
	n := len(values)
	return (values[n/2] + values[(n-1)/2]) / 2, true
}

// metric is one figure of a sample.
type metric func(sample) float64

func wall(s sample) float64  { return s.wall }
func cpu(s sample) float64   { return s.cpu }
func rss(s sample) float64   { return s.rss }
func read(s sample) float64  { return s.read }
func gets(s sample) float64  { return s.gets }
func added(s sample) float64 { return s.added }
func total(s sample) float64 { return s.total }

func amplified(s sample) float64 { return s.amplified }
