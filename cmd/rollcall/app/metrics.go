package app

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"rollcall/enroll"
	"rollcall/mdm"
	"rollcall/mdm/apns"
)

// metrics are the figures of one server in a registry of its own.
type metrics struct {
	registry  *prometheus.Registry
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	decisions *prometheus.CounterVec
	pushes    *prometheus.CounterVec
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rollcall_http_requests_total",
			Help: "Requests by route, method and status."}, []string{"route", "method", "status"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "rollcall_http_request_seconds",
			Help: "Time to answer by route.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14)}, []string{"route"}),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rollcall_gate_decisions_total",
			Help: "Decisions of the gate by channel and code."}, []string{"channel", "code"}),
	}
	m.pushes = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rollcall_pushes_total",
		Help: "Pushes by outcome and APNs reason."}, []string{"outcome", "reason"})
	m.registry.MustRegister(m.requests, m.durations, m.decisions, m.pushes, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) request(route, method string, status int, took time.Duration) {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE":
	default:
		method = "other" // a stranger must not be able to make new series
	}
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Inc()
	m.durations.WithLabelValues(route).Observe(took.Seconds())
}

func (m *metrics) push(outcome apns.Outcome, cause string, _ time.Duration) {
	m.pushes.WithLabelValues(string(outcome), cause).Inc()
}

// countedGate counts what the gate decides.
type countedGate struct {
	*enroll.Gate
	m *metrics
}

var _ mdm.Gate = countedGate{}

func (g countedGate) Decide(ctx context.Context, a enroll.Attempt) (enroll.Decision, error) {
	d, err := g.Gate.Decide(ctx, a)
	g.count(d)
	return d, err
}

func (g countedGate) Refuse(ctx context.Context, a enroll.Attempt, code enroll.Code, detail string) (enroll.Decision, error) {
	d, err := g.Gate.Refuse(ctx, a, code, detail)
	g.count(d)
	return d, err
}

func (g countedGate) count(d enroll.Decision) {
	g.m.decisions.WithLabelValues(string(d.Channel), string(d.Code)).Inc()
}
