package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/lang"
)

// probeTimeout is a little longer than the daemon's own checks of readiness may take.
const probeTimeout = 6 * time.Second

func (a *app) probeCommand() *cobra.Command {
	var ready bool
	cmd := &cobra.Command{
		Use:   "probe",
		Short: "Ask the daemon on this host whether it makes progress: a health check for containers",
		Long: `Asks /healthz of the daemon's ops port (Ops:Listen): 0 means that its loops make progress. --ready asks /readyz: 0 means
that account database, MNS and the broker are usable as well. A restart cures a wedged loop and no outage of a dependency, so
let the first decide about restarts, and the second about whether others may start.

Exits with 0 or 1 and with nothing else, as a container's health check must. Of the configuration only Ops:Listen is used: a
fault elsewhere does not matter here.`,
		Example: `  jdpay-listener probe
  jdpay-listener probe --ready --config /etc/jdpay/appsettings.json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, err := a.loadAll()
			var faults config.Faults
			if err != nil && !errors.As(err, &faults) {
				return err
			}
			url, err := probeURL(loaded.Config.Ops.Listen, ready)
			if err != nil {
				return err
			}
			said, err := probe(cmd.Context(), url)
			if a.json {
				_ = a.printJSON(map[string]any{"url": url, "ok": err == nil, "answer": said})
			} else if err == nil {
				a.printLine("%s", said)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&ready, "ready", false, "ask whether the services it needs are usable, too")
	return cmd
}

// probeURL returns the address of a probe, as seen from the daemon's own host.
func probeURL(listen string, ready bool) (string, error) {
	if listen == "" {
		return "", lang.Errorf("Ops:Listen is empty, so the daemon serves no probes: set it to an address such as 127.0.0.1:9300")
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil || port == "" || port == "0" {
		return "", lang.Errorf("Ops:Listen is %q, so there is no port to ask: set it to an address such as 127.0.0.1:9300", listen)
	}
	switch ip, err := netip.ParseAddr(host); {
	case host == "" || err == nil && ip == netip.IPv4Unspecified():
		host = "127.0.0.1"
	case err == nil && ip == netip.IPv6Unspecified():
		host = "::1"
	}
	path := "/healthz"
	if ready {
		path = "/readyz"
	}
	return "http://" + net.JoinHostPort(host, port) + path, nil
}

// probe asks a probe and returns its answer on one line, and an error unless the answer is 200.
func probe(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", lang.Errorf("asking the daemon: %s", err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // without a proxy: the daemon is on this host
	resp, err := client.Do(req)
	if err != nil {
		return "", lang.Errorf("asking the daemon: %s", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return "", lang.Errorf("asking the daemon: %s", err)
	}
	said := compact(body)
	if resp.StatusCode != http.StatusOK {
		return said, lang.Errorf("%s answers %d: %s", url, resp.StatusCode, said)
	}
	return said, nil
}

// compact puts an answer, mostly JSON, on one line.
func compact(body []byte) string {
	var v any
	if json.Unmarshal(body, &v) == nil {
		if b, err := json.Marshal(v); err == nil {
			return string(b)
		}
	}
	return strings.TrimSpace(string(body))
}
