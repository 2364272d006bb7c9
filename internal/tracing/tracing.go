// Package tracing sends OpenTelemetry traces to a collector, by OTLP over HTTP. It is off unless the standard OTEL_* variables
// turn it on, and knows nothing of payments.
package tracing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"jdpay-listener/internal/check"
)

// Name is the service's name unless OTEL_SERVICE_NAME gives another.
const Name = "jdpay-listener"

// ErrUnsupported means that the variables ask for an exporter or a protocol that this program does not have.
var ErrUnsupported = errors.New("not supported: traces are sent by OTLP over HTTP with protobuf")

// Enabled reports whether the variables turn tracing on: an endpoint is given, or the exporter otlp. getenv is os.Getenv. The
// error is an ErrUnsupported.
func Enabled(getenv func(string) string) (bool, error) {
	exporter := strings.ToLower(strings.TrimSpace(getenv("OTEL_TRACES_EXPORTER")))
	switch {
	case strings.EqualFold(strings.TrimSpace(getenv("OTEL_SDK_DISABLED")), "true"), exporter == "none", exporter == "" && endpoint(getenv) == "":
		return false, nil
	case exporter != "" && exporter != "otlp":
		return false, fmt.Errorf("OTEL_TRACES_EXPORTER=%q is %w", exporter, ErrUnsupported)
	}
	protocol := cmp.Or(getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), getenv("OTEL_EXPORTER_OTLP_PROTOCOL"), "http/protobuf")
	if protocol != "http/protobuf" {
		return false, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL=%q is %w", protocol, ErrUnsupported)
	}
	return true, nil
}

func endpoint(getenv func(string) string) string {
	return cmp.Or(getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), getenv("OTEL_EXPORTER_OTLP_ENDPOINT"))
}

// Protected reports whether traces leave this machine encrypted or not at all.
func Protected(getenv func(string) string) bool {
	u, err := url.Parse(cmp.Or(endpoint(getenv), "http://localhost:4318"))
	return err == nil && (u.Scheme == "https" || check.IsLoopback(u.Hostname()))
}

// Provider makes spans and sends them. Making and ending a span never waits for the collector: while it cannot be reached, spans
// are dropped.
type Provider struct {
	trace.Tracer
	sdk *sdk.TracerProvider
}

// New returns a provider as the OTEL_* variables of the process want it: endpoint, headers, certificates, compression and timeouts of
// the exporter, the sampler, limits, the service's name and other attributes of the resource. version is the program's and instance
// the process's. An outage of the collector is logged once at its begin and once at its end.
func New(ctx context.Context, version, instance string, log *slog.Logger) (*Provider, error) {
	// What the libraries have to say of the variables and of spans.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("the tracing library reports a fault", "error", err) }))
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("traces (OTEL_EXPORTER_OTLP_…): %w", err)
	}
	ours := resource.NewSchemaless(attribute.String("service.name", Name), attribute.String("service.version", version), attribute.String("service.instance.id", instance))
	given, err := resource.New(ctx, resource.WithFromEnv(), resource.WithTelemetrySDK(), resource.WithHost())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, fmt.Errorf("traces (OTEL_RESOURCE_ATTRIBUTES): %w", err)
	}
	res, err := resource.Merge(ours, given) // what is given wins
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	p := sdk.NewTracerProvider(sdk.WithBatcher(&watched{SpanExporter: exporter, log: log}), sdk.WithResource(res), sdk.WithIDGenerator(ids{}))
	return &Provider{p.Tracer("jdpay-listener", trace.WithInstrumentationVersion(version)), p}, nil
}

// closeTimeout bounds the last export.
const closeTimeout = 5 * time.Second

// Close sends the spans that have ended, for at most five seconds.
func (p *Provider) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = p.sdk.Shutdown(ctx) // an outage of the collector is in the log already, and is no failure of the program
	return nil
}
