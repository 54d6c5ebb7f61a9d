package callbacks

import (
	"time"

	"github.com/valyala/fasthttp"

	"deskbell/bot/wecom"
)

const (
	plainText = "text/plain; charset=utf-8"
	sealedXML = "application/xml; charset=utf-8"
)

// answer replaces whatever was in the response; body is copied.
func answer(ctx *fasthttp.RequestCtx, status int, contentType string, body []byte) {
	ctx.Response.ResetBody()
	ctx.SetStatusCode(status)
	ctx.SetContentType(contentType)
	ctx.Response.AppendBody(body)
}

// empty acknowledges: WeCom takes any 200 for received, and shows nothing for
// an empty one.
func empty(ctx *fasthttp.RequestCtx) {
	answer(ctx, fasthttp.StatusOK, plainText, nil)
}

// refusal says no more than the status does, so that every refusal of one
// status is the same in all its bytes.
func refusal(ctx *fasthttp.RequestCtx, status int) {
	ctx.Response.ResetBody()
	ctx.SetStatusCode(status)
	ctx.SetContentType(plainText)
	ctx.Response.AppendBodyString(fasthttp.StatusMessage(status))
}

// seal encrypts text into the response's own buffer.
func seal(ctx *fasthttp.RequestCtx, o *wecom.Opened, text string, now time.Time) {
	ctx.SetStatusCode(fasthttp.StatusOK)
	ctx.SetContentType(sealedXML)
	buf := ctx.Response.SwapBody(nil)
	ctx.Response.SwapBody(o.Seal(buf[:0], text, now))
}
