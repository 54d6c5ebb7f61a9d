package wecom

import (
	"bytes"
	"context"

	workcontext "github.com/silenceper/wechat/v2/work/context"
	"github.com/silenceper/wechat/v2/work/material"

	"deskbell/bot"
)

// imageName is what WeCom is told the picture's file is called; nobody sees it.
const imageName = "image.png"

// Prepare hands a message's image over to WeCom (document 90253) and puts the
// name it gets for three days in its place. Anything else stays as it is.
func (c *Client) Prepare(ctx context.Context, o bot.Outgoing) (bot.Outgoing, error) {
	if len(o.Image) == 0 {
		return o, nil
	}
	var answer *material.UploadTempFileResponse
	err := c.viaSDK(ctx, "media/upload", func(sdk *workcontext.Context) (err error) {
		answer, err = material.NewClient(sdk).UploadTempFileFromReader(imageName, "image", bytes.NewReader(o.Image))
		return err
	})
	if err == nil && answer.MediaID == "" {
		err = &outage{call: "media/upload", what: "the answer has no media_id"}
	}
	if err != nil {
		return o, fail(kind(err), err)
	}
	o.Image, o.MediaID = nil, answer.MediaID
	return o, nil
}

var _ bot.Preparer = (*Client)(nil)
