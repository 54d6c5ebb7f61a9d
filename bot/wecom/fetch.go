package wecom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"deskbell/bot"
)

const mediaGet = "media/get"

// Fetch begins to get what somebody sent (document 90254). The error's Key tells
// what people should hear: media.expired, media.toolarge, or that WeCom is to
// blame.
func (c *Client) Fetch(ctx context.Context, mediaID string, limit int64) (bot.Download, error) {
	var d bot.Download
	err := c.withToken(ctx, func(token string) error {
		req, err := newRequest(ctx, mediaGet, url.Values{"media_id": {mediaID}}, nil)
		if err != nil {
			return err
		}
		d, err = c.download(ctx, req, token, limit)
		return err
	})
	return d, failedFetch(err)
}

var _ bot.Fetcher = (*Client)(nil)

// errTooLarge is a file over the limit of whoever wants it.
var errTooLarge = errors.New("wecom media/get: the file is larger than allowed")

func failedFetch(err error) error {
	if err == nil {
		return nil
	}
	e, _ := errors.AsType[*APIError](err)
	switch {
	case e != nil && e.Code == codeBadMediaID:
		return bot.Fail(kind(err), "media.expired", nil, err)
	case e != nil && e.Code == codeTooLarge, errors.Is(err, errTooLarge):
		return bot.Fail(bot.Invalid, "media.toolarge", nil, err)
	}
	return fail(kind(err), err)
}

// download is exchange for an answer that is a file: it may take longer than a
// call, as long as it keeps coming. The slot is held until the body is closed.
func (c *Client) download(ctx context.Context, req *http.Request, token string, limit int64) (d bot.Download, err error) {
	wait, done := context.WithTimeout(ctx, c.timeout)
	leave, err := c.admit(wait, ctx, mediaGet)
	done()
	if err != nil {
		return d, err
	}
	coming, stop := context.WithCancel(ctx)
	a := &arrival{client: c, ctx: ctx, token: token, left: limit, patience: time.AfterFunc(c.timeout, stop)}
	a.end = func() { a.patience.Stop(); stop(); leave() }
	defer func() {
		if err != nil {
			_ = a.Close()
		}
	}()
	resp, err := c.transport.RoundTrip(c.address(coming, req, token))
	if err == nil {
		a.body = resp.Body
		if resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("HTTP status %d", resp.StatusCode)
		}
	}
	if err == nil && !isFile(resp.Header) {
		raw, unread := readAnswer(resp.Body)
		if unread == nil {
			c.breaker.succeeded()
			if err = c.check(mediaGet, raw, token); err == nil {
				err = &outage{call: mediaGet, what: "the answer is no file"}
			}
			return d, err
		}
		err = unread
	}
	if err != nil {
		return d, c.unanswered(ctx, mediaGet, token, err)
	}
	c.breaker.succeeded()
	if resp.ContentLength > limit {
		return d, errTooLarge
	}
	a.patience.Stop()
	return bot.Download{Name: dispositionName(resp.Header.Get("Content-Disposition")), Size: resp.ContentLength, Body: a}, nil
}

// readAnswer reads what should be JSON.
func readAnswer(body io.Reader) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(body, maxRefusal))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the answer: %w", err)
	case !json.Valid(raw):
		return nil, errors.New("the answer is neither a file nor JSON")
	}
	return raw, nil
}

// maxRefusal is above any errcode with its errmsg.
const maxRefusal = 64 << 10

// isFile tells a file from what WeCom says instead of one. A file has a
// disposition, whatever somebody put into it: one that reads like an errcode is a
// file all the same. Without a disposition, what is text is no file: it is
// WeCom's refusal, or the page of a proxy.
func isFile(h http.Header) bool {
	if disposition, _, _ := strings.Cut(h.Get("Content-Disposition"), ";"); strings.TrimSpace(disposition) != "" {
		return true
	}
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && t != "application/json" && !strings.HasPrefix(t, "text/")
}

// dispositionName is the file's name out of a Content-Disposition, safe to use.
// Besides what RFC 6266 allows, and it is what WeCom sends, letters of any
// alphabet may stand there as they are.
func dispositionName(header string) string {
	if _, params, err := mime.ParseMediaType(header); err == nil {
		return bot.FileName(params["filename"])
	}
	lower := strings.ToLower(header) // of ASCII, so that positions stay; others only grow or shrink behind them
	at := strings.Index(lower, "filename=")
	if at < 0 || len(lower) != len(header) {
		return ""
	}
	name := strings.TrimSpace(header[at+len("filename="):])
	if quoted, ok := strings.CutPrefix(name, `"`); ok {
		if end := strings.LastIndexByte(quoted, '"'); end >= 0 {
			quoted = quoted[:end]
		}
		return bot.FileName(quoted)
	}
	name, _, _ = strings.Cut(name, ";")
	return bot.FileName(name)
}

// arrival is a file on its way. It ends when nothing came for as long as a call
// may take, and at the first byte too many.
type arrival struct {
	client   *Client
	ctx      context.Context // the caller's
	token    string
	body     io.ReadCloser
	left     int64
	patience *time.Timer // gives up
	end      func()
}

func (a *arrival) Read(p []byte) (int, error) {
	if a.left < 0 {
		return 0, failedFetch(errTooLarge)
	}
	a.patience.Reset(a.client.timeout)
	n, err := a.body.Read(p[:min(int64(len(p)), a.left+1)])
	a.patience.Stop() // what the reader does with it takes its own time
	if a.left -= int64(n); a.left < 0 {
		return 0, failedFetch(errTooLarge)
	}
	if err != nil && err != io.EOF {
		o := &outage{call: mediaGet, what: "the file stopped coming: " + a.client.scrub(err.Error(), a.token), cause: a.ctx.Err()}
		err = failedFetch(o)
	}
	return n, err
}

// Close may be called more than once.
func (a *arrival) Close() error {
	if a.end == nil {
		return nil
	}
	if a.body != nil {
		_ = a.body.Close() // it was read or is not wanted
	}
	a.end()
	a.end = nil
	return nil
}
