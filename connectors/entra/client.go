package entra

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	abstractions "github.com/microsoft/kiota-abstractions-go"
	"github.com/microsoft/kiota-abstractions-go/serialization"
	kiotaauth "github.com/microsoft/kiota-authentication-azure-go"
	kiotahttp "github.com/microsoft/kiota-http-go"
	kiotajson "github.com/microsoft/kiota-serialization-json-go"
	graphcore "github.com/microsoftgraph/msgraph-sdk-go-core"
	"github.com/microsoftgraph/msgraph-sdk-go/models/odataerrors"
	"github.com/rs/zerolog"
)

// How patient a client is with one request.
const (
	attemptTimeout = 2 * time.Minute
	maxAttempts    = 6         // after failures of any kind
	maxThrottled   = 30        // after being told to wait
	longestWait    = time.Hour // that Graph may ask for
)

// client asks Graph and retries. It is used by one goroutine at a time.
type client struct {
	adapter *graphcore.GraphRequestAdapterBase
	base    *url.URL
	log     zerolog.Logger
	timeout time.Duration
	wait    func(context.Context, time.Duration) error
	spent   cost
	date    time.Time // of the last answer, by Graph's clock
}

// cost is what the requests since the beginning of a pass were.
type cost struct {
	requests int
	bytes    int64
	wire     time.Duration
}

func newClient(credential azcore.TokenCredential, transport http.RoundTripper, where cloud, log zerolog.Logger) (*client, error) {
	base, err := url.Parse(where.base())
	if err != nil {
		return nil, err
	}
	auth, err := kiotaauth.NewAzureIdentityAuthenticationProviderWithScopesAndValidHosts(credential, []string{where.scope()}, []string{base.Hostname()})
	if err != nil {
		return nil, err
	}
	parsers := serialization.NewParseNodeFactoryRegistry()
	parsers.ContentTypeAssociatedFactories["application/json"] = kiotajson.NewJsonParseNodeFactory()
	c := &client{base: base, log: log, timeout: attemptTimeout, wait: sleep}
	adapter, err := graphcore.NewGraphRequestAdapterBaseWithParseNodeFactoryAndSerializationWriterFactoryAndHttpClient(
		auth, graphcore.GraphClientOptions{}, parsers, nil, &http.Client{
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: kiotahttp.NewCustomTransportWithParentTransport(transport,
				shield{c.heard}, graphcore.NewGraphTelemetryHandler(&graphcore.GraphClientOptions{})),
		})
	if err != nil {
		return nil, err
	}
	adapter.SetBaseUrl(where.base())
	c.adapter = adapter
	return c, nil
}

// begin starts the count of what requests cost.
func (c *client) begin() { c.spent = cost{} }

// get returns the body of the answer to r, a JSON object. It retries what may pass, and waits as Graph asks.
func (c *client) get(ctx context.Context, r *abstractions.RequestInformation) ([]byte, error) {
	for attempt := 1; ; attempt++ {
		body, err := c.attempt(ctx, r)
		if err == nil {
			c.spent.requests++
			c.spent.bytes += int64(len(body))
			return body, nil
		}
		f := failureOf(err)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		pause, again := f.pause(attempt)
		if !again {
			return nil, f.explain(c.spent.requests > 0)
		}
		c.log.Info().Str("why", f.Error()).Int("attempt", attempt).Dur("wait", pause).Msg("waiting for Graph")
		if err := c.wait(ctx, pause); err != nil {
			return nil, err
		}
	}
}

// attempt asks once. The SDK's panics on odd answers become errors.
func (c *client) attempt(ctx context.Context, r *abstractions.RequestInformation) (body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	began := time.Now()
	defer func() {
		c.spent.wire += time.Since(began)
		if p := recover(); p != nil {
			body, err = nil, fmt.Errorf("the SDK could not read the answer: %v", p)
		}
	}()
	r.Headers.Remove("Authorization") // the last attempt's; the SDK would keep it, however old it is
	answer, err := c.adapter.SendPrimitive(ctx, r, "[]byte", abstractions.ErrorMappings{"XXX": odataerrors.CreateODataErrorFromDiscriminatorValue})
	if err != nil {
		return nil, err
	}
	body, _ = answer.([]byte)
	if trimmed := bytes.TrimSpace(body); len(trimmed) < 2 || trimmed[0] != '{' || trimmed[len(trimmed)-1] != '}' {
		return nil, errCut
	}
	return body, nil
}

var errCut = errors.New("the answer is not a whole JSON object")

// request makes a request as the SDK's builders make it.
func request(template string, query map[string]string) *abstractions.RequestInformation {
	r := abstractions.NewRequestInformationWithMethodAndUrlTemplateAndPathParameters(abstractions.GET, template, map[string]string{})
	for name, value := range query {
		r.QueryParameters[name] = value
	}
	r.Headers.TryAdd("Accept", "application/json")
	return r
}

// follow makes a request for a link that Graph gave. Nobody else gets our token: the link must lead to Graph.
func (c *client) follow(link string) (*abstractions.RequestInformation, error) {
	u, err := url.Parse(link)
	if err != nil || u.Scheme != c.base.Scheme || u.Host != c.base.Host || u.User != nil {
		return nil, errors.New("a link does not lead to " + c.base.Host)
	}
	r := abstractions.NewRequestInformationWithMethodAndUrlTemplateAndPathParameters(abstractions.GET, "", map[string]string{})
	r.SetUri(*u)
	r.Headers.TryAdd("Accept", "application/json")
	return r, nil
}

// heard looks at the headers of every answer.
func (c *client) heard(h http.Header) {
	c.date, _ = http.ParseTime(h.Get("Date"))
}

// backoff is how long to wait before attempt+1 when nobody said how long: 1, 2, 4 … 60 seconds, between half and all of it.
func backoff(attempt int) time.Duration {
	d := min(time.Second<<min(attempt-1, 6), time.Minute)
	return d/2 + rand.N(d/2)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
