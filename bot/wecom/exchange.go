package wecom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

const apiPath = "/cgi-bin/"

// uncoded are the calls whose documented answer has no errcode when all is well.
var uncoded = map[string]bool{"menu/get": true, "getcallbackip": true}

// exchange is the one place where a request leaves the process. It returns the
// body of an answer with errcode 0; any other answer is an *APIError, and none
// at all an *outage. Neither carries an address, a token or a secret.
func (c *Client) exchange(ctx context.Context, req *http.Request, token string) ([]byte, error) {
	name := strings.TrimPrefix(req.URL.Path, apiPath)
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	leave, err := c.admit(ctx, caller, name)
	if err != nil {
		return nil, err
	}
	defer leave()
	raw, err := c.roundTrip(c.address(ctx, req, token))
	if err != nil {
		return nil, c.unanswered(caller, name, token, err)
	}
	c.breaker.succeeded()
	return raw, c.check(name, raw, token)
}

// admit lets a call out, and counts it until leave. While WeCom does not answer,
// few are let out.
func (c *Client) admit(ctx, caller context.Context, name string) (leave func(), err error) {
	if err := caller.Err(); err != nil {
		return nil, &outage{call: name, what: "given up by the caller", cause: err}
	}
	if !c.breaker.allow(c.now()) {
		return nil, &outage{call: name, what: "not asked: WeCom has not been answering"}
	}
	select {
	case c.slots <- struct{}{}:
		return func() { <-c.slots }, nil
	case <-ctx.Done():
		return nil, &outage{call: name, what: "not asked: too many calls under way", cause: caller.Err()}
	}
}

// unanswered is what a call came to that got no answer, or none of WeCom's.
func (c *Client) unanswered(caller context.Context, name, token string, err error) error {
	if errors.Is(caller.Err(), context.Canceled) { // says nothing about WeCom
		return &outage{call: name, what: "given up by the caller", cause: context.Canceled}
	}
	if c.breaker.failed(c.now()) {
		c.log.Warn("wecom does not answer: calls fail at once, but for one in five seconds")
	}
	return &outage{call: name, what: c.scrub(err.Error(), token), cause: caller.Err()}
}

// address points the request at this client's WeCom. Without a token the
// query stays as it is.
func (c *Client) address(ctx context.Context, req *http.Request, token string) *http.Request {
	req = req.Clone(ctx)
	req.URL.Scheme, req.URL.Host, req.Host = c.base.Scheme, c.base.Host, ""
	req.URL.Path, req.URL.RawPath = c.base.Path+req.URL.Path, ""
	if token != "" {
		q := req.URL.Query()
		q.Set("access_token", token)
		req.URL.RawQuery = q.Encode()
	}
	if req.Method == http.MethodPost && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return req
}

// roundTrip never follows a redirect: the address it would leak holds a token.
func (c *Client) roundTrip(req *http.Request) ([]byte, error) {
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("HTTP status %d", resp.StatusCode)
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the answer: %w", err)
	case len(raw) > maxAnswer:
		return nil, errors.New("the answer is too large")
	case !json.Valid(raw):
		return nil, errors.New("the answer is not JSON, or not all of it")
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		skew := c.now().Sub(date)
		c.skew.Store(&skew)
	}
	return raw, nil
}

// check reads the errcode. An answer that has none where one belongs is not
// WeCom's, whatever it says: taking it for a success would lose a message.
func (c *Client) check(name string, raw []byte, token string) error {
	var head struct {
		Code *int   `json:"errcode"`
		Msg  string `json:"errmsg"`
	}
	err := json.Unmarshal(raw, &head)
	switch {
	case err != nil || head.Code == nil && !uncoded[name]:
		return &outage{call: name, what: "the answer has no errcode"}
	case head.Code != nil && *head.Code != 0:
		return &APIError{Call: name, Code: *head.Code, Msg: cleanMsg(c.scrub(head.Msg, token))}
	}
	return nil
}

// scrub removes addresses and credentials, and this client's own ones wherever
// they stand.
func (c *Client) scrub(s, token string) string {
	for _, secret := range []string{c.secret, token} {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, redacted)
			s = strings.ReplaceAll(s, url.QueryEscape(secret), redacted)
		}
	}
	return scrub(s)
}
