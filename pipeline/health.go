package pipeline

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"rollcall/store"
)

// health answers operators' machines: /metrics, and whether the process lives (/livez), can do its work (/readyz) and has begun
// (/startupz). It shows no person and takes no order, but it is meant for a network of one's own.
type health struct {
	node    *Node
	metrics *metrics
}

// startHealth listens where the configuration says.
func (n *Node) startHealth(ctx context.Context) error {
	if n.config.MetricsListen == "" {
		return nil
	}
	h := &health{node: n, metrics: newMetrics(&n.config, n.bus)}
	if n.db != nil {
		h.metrics.registry.MustRegister(&standing{gauge: &gauge{bus: n.bus, db: n.db}, config: &n.config, log: n.log})
		if err := h.metrics.listen(n.bus, n.leads); err != nil {
			return err
		}
	}
	listener, err := net.Listen("tcp", n.config.MetricsListen)
	if err != nil {
		return fmt.Errorf("metrics.listen: %w", err)
	}
	n.metricsAddress = listener.Addr().String()
	server := &http.Server{Handler: h.handler(), ReadHeaderTimeout: 5 * time.Second, ErrorLog: nil}
	n.group.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("metrics: %w", err)
		}
		return nil
	})
	n.group.Go(func() error {
		<-ctx.Done()
		return server.Close()
	})
	return nil
}

// MetricsAddress is where /metrics is served, "" where it is not.
func (n *Node) MetricsAddress() string { return n.metricsAddress }

func (h *health) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(h.metrics.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", say(func() error { return nil }))
	mux.HandleFunc("GET /startupz", say(func() error { return nil })) // it listens when all stages have started
	mux.HandleFunc("GET /readyz", say(h.ready))
	return mux
}

func say(check func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if err := check(); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, err)
			return
		}
		fmt.Fprintln(w, "ok")
	}
}

// ready says what keeps the process from its work.
func (h *health) ready() error {
	if !h.node.bus.Conn.IsConnected() {
		return errors.New("NATS is not connected")
	}
	if h.node.db == nil {
		return nil
	}
	return h.node.db.View(func(*store.Tx) error { return nil })
}
