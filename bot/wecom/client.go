package wecom

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"deskbell/bot"
)

const (
	officialBase = "https://qyapi.weixin.qq.com"
	maxInFlight  = 32      // calls under way at once, so that a slow WeCom cannot eat the process
	maxAnswer    = 8 << 20 // the members of the largest tag fit
)

// ClientOptions is what a Client needs. CorpID, AgentID and Secret are required.
type ClientOptions struct {
	CorpID  string
	AgentID int
	Secret  string
	APIBase string        // empty: WeCom's own; a path in it is kept in front of /cgi-bin
	Timeout time.Duration // of one call; 0: 5 s
	TagTTL  time.Duration // how long the members of a tag are remembered; 0: 1 min
	Shared  TokenStore    // nil: this process fetches its own access token
	Log     *slog.Logger  // nil: silent
	Now     func() time.Time
}

// Client calls WeCom's API as one application of one corporation.
type Client struct {
	corpID  string
	agentID int
	secret  string
	base    *url.URL
	timeout time.Duration
	log     *slog.Logger
	now     func() time.Time

	transport *http.Transport
	slots     chan struct{}
	breaker   breaker
	tokens    *tokens
	skew      atomic.Pointer[time.Duration]

	tagTTL time.Duration
	tagMu  sync.Mutex
	tags   map[int]*tag
}

var _ bot.Sender = (*Client)(nil)

// NewClient makes a Client. Nothing is called before it is needed.
func NewClient(o ClientOptions) *Client {
	installRouter()
	base, err := url.Parse(strings.TrimRight(cmp.Or(o.APIBase, officialBase), "/"))
	if err != nil {
		base = &url.URL{} // every call then fails, and says why; the configuration was checked before
	}
	c := &Client{
		corpID:  o.CorpID,
		agentID: o.AgentID,
		secret:  o.Secret,
		base:    base,
		timeout: cmp.Or(o.Timeout, 5*time.Second),
		tagTTL:  cmp.Or(o.TagTTL, time.Minute),
		log:     o.Log,
		now:     o.Now,
		slots:   make(chan struct{}, maxInFlight),
		tags:    make(map[int]*tag),
		transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			ForceAttemptHTTP2:   true,
			MaxConnsPerHost:     maxInFlight,
			MaxIdleConnsPerHost: maxInFlight,
			IdleConnTimeout:     90 * time.Second,
			TLSHandshakeTimeout: 5 * time.Second,
		},
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.now == nil {
		c.now = time.Now
	}
	c.tokens = &tokens{
		fetch:   c.getToken,
		shared:  o.Shared,
		key:     fmt.Sprintf("wecom:token:%s:%d", o.CorpID, o.AgentID),
		timeout: c.timeout,
		now:     c.now,
		log:     c.log,
	}
	return c
}

// Close drops the idle connections.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Skew is how far this host's clock is ahead of WeCom's, to a second, by the
// last answer; ok is false before the first.
func (c *Client) Skew() (skew time.Duration, ok bool) {
	p := c.skew.Load()
	if p == nil {
		return 0, false
	}
	return *p, true
}

// withToken runs one call with the access token, and a second time with a new
// one when WeCom refused the first.
func (c *Client) withToken(ctx context.Context, call func(token string) error) error {
	token, err := c.tokens.get(ctx, "")
	if err != nil {
		return err
	}
	err = call(token)
	if e, ok := errors.AsType[*APIError](err); !ok || !e.staleToken() {
		return err
	}
	if token, err = c.tokens.get(ctx, token); err != nil {
		return err
	}
	return call(token)
}

// request makes a call the SDK does not have: GET without a body, else POST.
func (c *Client) request(ctx context.Context, name string, query url.Values, body, answer any) error {
	return c.withToken(ctx, func(token string) error {
		req, err := newRequest(ctx, name, query, body)
		if err != nil {
			return err
		}
		raw, err := c.exchange(ctx, req, token)
		if err != nil {
			return err
		}
		return decode(name, raw, answer)
	})
}

func newRequest(ctx context.Context, name string, query url.Values, body any) (*http.Request, error) {
	method, payload := http.MethodGet, io.Reader(nil)
	if body != nil {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false) // WeCom refuses \u003c in menus with 40033
		if err := enc.Encode(body); err != nil {
			return nil, fmt.Errorf("wecom %s: encode: %w", name, err)
		}
		method, payload = http.MethodPost, &b
	}
	req, err := http.NewRequestWithContext(ctx, method, officialBase+apiPath+name, payload)
	if err != nil {
		return nil, fmt.Errorf("wecom %s: %w", name, err)
	}
	req.URL.RawQuery = query.Encode()
	return req, nil
}

func decode(name string, raw []byte, answer any) error {
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(raw, answer); err != nil {
		return &outage{call: name, what: "the answer is unreadable"}
	}
	return nil
}
