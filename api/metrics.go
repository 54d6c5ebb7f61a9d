package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics counts what the process does, for Prometheus. Its labels take few
// values, all of them ours: never a person, a token or a path somebody made up.
type Metrics struct {
	registry  *prometheus.Registry
	requests  *prometheus.CounterVec
	callbacks *prometheus.CounterVec
	refusals  *prometheus.CounterVec
	commands  *prometheus.CounterVec
	pushes    *prometheus.CounterVec
}

// NewMetrics makes the counters. depth is asked at every scrape how many
// messages wait for delivery and how many were given up; nil leaves that out.
func NewMetrics(version string, depth func(context.Context) (pending, dead int, err error)) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &Metrics{
		registry:  prometheus.NewRegistry(),
		requests:  counter("deskbell_http_requests_total", "HTTP requests by route and status.", "route", "status"),
		callbacks: counter("deskbell_callbacks_total", "WeCom callbacks by outcome.", "outcome"),
		refusals:  counter("deskbell_callbacks_refused_total", "Refused WeCom callbacks by reason.", "reason"),
		commands:  counter("deskbell_commands_total", "Commands by name and outcome.", "command", "outcome"),
		pushes:    counter("deskbell_pushes_total", "Tries to push a message, by outcome.", "outcome"),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "deskbell_build_info", Help: "Always 1; the version is the label.",
		ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	m.registry.MustRegister(m.requests, m.callbacks, m.refusals, m.commands, m.pushes, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if depth != nil {
		m.registry.MustRegister(outboxDepth(depth))
	}
	return m
}

// Callback counts a callback by what became of it.
func (m *Metrics) Callback(outcome string) { m.callbacks.WithLabelValues(outcome).Inc() }

// Refused counts a refused callback by why.
func (m *Metrics) Refused(reason string) { m.refusals.WithLabelValues(reason).Inc() }

// Command counts a command by its canonical name; for words that are none, the
// caller has one name for all of them.
func (m *Metrics) Command(name, outcome string) { m.commands.WithLabelValues(name, outcome).Inc() }

// Delivery counts a try to push a message, by what came of it.
func (m *Metrics) Delivery(outcome string) { m.pushes.WithLabelValues(outcome).Inc() }

// request counts an HTTP request. Without Metrics nothing is counted.
func (m *Metrics) request(route string, status int) {
	if m != nil {
		m.requests.WithLabelValues(route, statusLabels[status%len(statusLabels)]).Inc()
	}
}

// statusLabels saves making a string for every request.
var statusLabels = func() (all [600]string) {
	for i := range all {
		all[i] = strconv.Itoa(i)
	}
	return all
}()

// Handler answers a scrape.
func (m *Metrics) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	return mux
}

// Serve answers scrapes on ln, an address of its own, until ctx is done.
func (m *Metrics) Serve(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{Handler: m.Handler(), ReadHeaderTimeout: readTime, IdleTimeout: idleTime, WriteTimeout: writeTime}
	defer context.AfterFunc(ctx, func() { _ = srv.Close() })()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return nil
}

// outboxDepth asks the store at each scrape instead of keeping count beside it.
type outboxDepth func(context.Context) (pending, dead int, err error)

var outboxDesc = prometheus.NewDesc("deskbell_outbox_messages", "Messages in the outbox that were not delivered, by state.", []string{"state"}, nil)

func (outboxDepth) Describe(ch chan<- *prometheus.Desc) { ch <- outboxDesc }

func (d outboxDepth) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	pending, dead, err := d(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(outboxDesc, err)
		return
	}
	ch <- prometheus.MustNewConstMetric(outboxDesc, prometheus.GaugeValue, float64(pending), "pending")
	ch <- prometheus.MustNewConstMetric(outboxDesc, prometheus.GaugeValue, float64(dead), "dead")
}
