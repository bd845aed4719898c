package agent

import (
	"fmt"
	"time"

	"github.com/hashicorp/go-metrics"
	metricsprom "github.com/hashicorp/go-metrics/prometheus"
	"github.com/prometheus/client_golang/prometheus"
)

// metricsPrefix begins every metric's name: the one that dashboards know.
const metricsPrefix = "nomad"

// meters is where the agent's metrics go.
type meters struct {
	metrics  *metrics.Metrics
	sink     *metrics.InmemSink
	registry *prometheus.Registry // nil unless asked for
}

func newMeters(c *Config, s *Settings) (*meters, error) {
	m := &meters{sink: metrics.NewInmemSink(s.MetricsInterval, s.MetricsRetention)}
	var sink metrics.MetricSink = m.sink
	if c.Telemetry.PrometheusMetrics {
		m.registry = prometheus.NewRegistry()
		prom, err := metricsprom.NewPrometheusSinkFrom(metricsprom.PrometheusOpts{Expiration: time.Minute, Registerer: m.registry})
		if err != nil {
			return nil, fmt.Errorf("set up Prometheus metrics: %w", err)
		}
		sink = metrics.FanoutSink{m.sink, prom}
	}
	conf := metrics.DefaultConfig(metricsPrefix)
	conf.HostName = s.Name
	conf.EnableHostname = !c.Telemetry.DisableHostname && !c.Telemetry.PrometheusMetrics
	conf.EnableRuntimeMetrics = false // go-metrics' own loop never ends; measure tells them
	conf.FilterDefault = c.Telemetry.FilterDefault
	var err error
	if m.metrics, err = metrics.New(conf, sink); err != nil {
		return nil, fmt.Errorf("set up metrics: %w", err)
	}
	return m, nil
}
