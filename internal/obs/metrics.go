package obs

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics counts what the service does, in a registry of its own. All methods
// may be called concurrently.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	jobs     *prometheus.CounterVec
	jobTime  *prometheus.HistogramVec
	running  *prometheus.GaugeVec
	read     prometheus.Counter
	fresh    prometheus.Counter
	stored   prometheus.Counter
	freed    prometheus.Counter
}

// NewMetrics returns metrics that all stand at zero.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_http_requests_total", Help: "Requests answered, by face, method and status code.",
		}, []string{"face", "method", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "holdfast_http_request_duration_seconds", Help: "Time from a request's head to the end of its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"face"}),
		jobs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_jobs_total", Help: "Attempts at jobs that ended in this process, by kind and the state they left the job in.",
		}, []string{"kind", "state"}),
		jobTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "holdfast_job_duration_seconds", Help: "Time that an attempt at a job took.",
			Buckets: []float64{.1, .5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600},
		}, []string{"kind"}),
		running: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "holdfast_jobs_running", Help: "Jobs that this process works on.",
		}, []string{"kind"}),
		read:   counter("holdfast_read_bytes_total", "Bytes that backups read from volumes."),
		fresh:  counter("holdfast_new_bytes_total", "Bytes read in blocks that the vault did not have."),
		stored: counter("holdfast_stored_bytes_total", "Bytes that backups put into the store, metadata included."),
		freed:  counter("holdfast_freed_bytes_total", "Bytes of objects that collections removed from the store."),
	}
	m.registry.MustRegister(
		m.requests, m.duration, m.jobs, m.jobTime, m.running, m.read, m.fresh, m.stored, m.freed,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
}

// Request counts one answered request. Face is a name from the program's own
// table, never a part of a path.
func (m *Metrics) Request(face, method string, code int, took time.Duration) {
	m.requests.WithLabelValues(face, method, strconv.Itoa(code)).Inc()
	m.duration.WithLabelValues(face).Observe(took.Seconds())
}

// JobStarted counts an attempt at a job that begins; JobEnded must follow.
func (m *Metrics) JobStarted(kind string) { m.running.WithLabelValues(kind).Inc() }

// JobEnded counts an attempt at a job that ended, and the state that the job
// is in now.
func (m *Metrics) JobEnded(kind, state string, took time.Duration) {
	m.running.WithLabelValues(kind).Dec()
	m.jobs.WithLabelValues(kind, state).Inc()
	m.jobTime.WithLabelValues(kind).Observe(took.Seconds())
}

// Bytes counts what a backup has read, found new and stored since it was last
// counted. Negative numbers are left out.
func (m *Metrics) Bytes(read, fresh, stored int64) {
	m.read.Add(float64(max(read, 0)))
	m.fresh.Add(float64(max(fresh, 0)))
	m.stored.Add(float64(max(stored, 0)))
}

// Freed counts bytes that a collection has removed from the store.
func (m *Metrics) Freed(n int64) { m.freed.Add(float64(max(n, 0))) }

// JobCount says how many jobs of a kind are in a state.
type JobCount struct {
	Kind  string
	State string
	Count int64
}

// queueTimeout bounds how long a scrape waits for the queue.
const queueTimeout = 5 * time.Second

// Queue adds the gauge holdfast_jobs, which asks count at each scrape how many
// jobs the queue holds by kind and state. While count fails, the gauge is left
// out and the rest is served. It must be called at most once.
func (m *Metrics) Queue(count func(context.Context) ([]JobCount, error)) {
	m.registry.MustRegister(&queueCollector{
		count: count,
		desc: prometheus.NewDesc("holdfast_jobs", "Jobs in the queue, by kind and state.",
			[]string{"kind", "state"}, nil),
	})
}

type queueCollector struct {
	count func(context.Context) ([]JobCount, error)
	desc  *prometheus.Desc
}

func (c *queueCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

func (c *queueCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), queueTimeout)
	defer cancel()
	counts, err := c.count(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(c.desc, err)
		return
	}
	for _, n := range counts {
		ch <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(n.Count), n.Kind, n.State)
	}
}

// Handler serves the metrics in Prometheus' text form.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError,
	})
}
