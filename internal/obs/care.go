package obs

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Care is the state of all vaults together.
type Care struct {
	Condemned int64     // packs that a collection has taken out of use and not removed yet
	Damaged   int64     // packs that are marked as damaged
	Verified  time.Time // when the vault was verified whose verification is the oldest; zero: one never was
}

// Vaults adds gauges of the vaults' state, which ask look at each scrape. While
// look fails they are left out and the rest is served. It must be called at
// most once.
func (m *Metrics) Vaults(look func(context.Context) (Care, error)) {
	gauge := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }
	m.registry.MustRegister(&careCollector{
		look:      look,
		condemned: gauge("holdfast_condemned_packs", "Packs that are out of use and not removed yet."),
		damaged:   gauge("holdfast_damaged_packs", "Packs that are known to be missing or damaged."),
		verified:  gauge("holdfast_verified_timestamp_seconds", "When the vault was verified that waits longest for it; 0: one never was."),
	})
}

type careCollector struct {
	look                         func(context.Context) (Care, error)
	condemned, damaged, verified *prometheus.Desc
}

func (c *careCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.condemned
	ch <- c.damaged
	ch <- c.verified
}

func (c *careCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), queueTimeout)
	defer cancel()
	care, err := c.look(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(c.condemned, err)
		return
	}
	seconds := 0.0
	if !care.Verified.IsZero() {
		seconds = float64(care.Verified.UnixMilli()) / 1000
	}
	for _, g := range []struct {
		desc  *prometheus.Desc
		value float64
	}{
		{c.condemned, float64(care.Condemned)},
		{c.damaged, float64(care.Damaged)},
		{c.verified, seconds},
	} {
		ch <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, g.value)
	}
}
