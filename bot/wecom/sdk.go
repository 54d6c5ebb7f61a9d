package wecom

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/silenceper/wechat/v2/util"
	workconfig "github.com/silenceper/wechat/v2/work/config"
	workcontext "github.com/silenceper/wechat/v2/work/context"
)

// The SDK sends through one HTTP client for the whole process, to addresses that
// are constants, without a context, and prints the address, access token and
// all, in its errors. So it is never given the token. Each call gets an errand
// that poses as the SDK's source of tokens and hands out a ticket; the router,
// installed as that HTTP client's transport, knows by the ticket whose call it
// is and sends it on: to that client's base, with the real token, under the
// caller's context.

// errand is one call under way through the SDK. It carries a context because the
// SDK cannot.
type errand struct {
	ctx    context.Context
	client *Client
	token  string
	ticket string
	err    error // what exchange said, before the SDK wrapped it
}

var (
	errands    sync.Map // ticket → *errand
	lastTicket atomic.Int64
)

// GetAccessToken is the SDK's credential.AccessTokenHandle.
func (e *errand) GetAccessToken() (string, error) { return e.ticket, nil }

// viaSDK runs one call of the SDK.
func (c *Client) viaSDK(ctx context.Context, name string, call func(*workcontext.Context) error) error {
	return c.withToken(ctx, func(token string) error {
		e := &errand{
			ctx:    ctx,
			client: c,
			token:  token,
			ticket: "ticket-" + strconv.FormatInt(lastTicket.Add(1), 10),
		}
		errands.Store(e.ticket, e)
		defer errands.Delete(e.ticket)
		err := call(&workcontext.Context{
			Config:            &workconfig.Config{CorpID: c.corpID, AgentID: strconv.Itoa(c.agentID)},
			AccessTokenHandle: e,
		})
		if e.err != nil {
			return e.err
		}
		if err != nil { // WeCom said errcode 0, and something the SDK cannot read
			return &outage{call: name, what: "the answer is unreadable"}
		}
		return nil
	})
}

// router is the transport behind the SDK's HTTP client.
type router struct{}

var installRouter = sync.OnceFunc(func() {
	util.DefaultHTTPClient = &http.Client{Transport: router{}}
})

var errNoErrand = errors.New("wecom: the SDK was used without a Client")

func (router) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer req.Body.Close()
	}
	found, ok := errands.Load(req.URL.Query().Get("access_token"))
	if !ok {
		return nil, errNoErrand
	}
	e := found.(*errand)
	raw, err := e.client.exchange(e.ctx, req, e.token)
	if err != nil {
		e.err = err
		return nil, err
	}
	return &http.Response{
		Status:        "200 OK",
		StatusCode:    http.StatusOK,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        http.Header{"Content-Type": {"application/json"}},
		Body:          io.NopCloser(bytes.NewReader(raw)),
		ContentLength: int64(len(raw)),
		Request:       req,
	}, nil
}
