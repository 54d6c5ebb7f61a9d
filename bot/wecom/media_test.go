package wecom_test

import (
	"bytes"
	"errors"
	"image"
	"image/png"
	"testing"

	"deskbell/bot"
)

// An image is handed over once, sent so that nobody can pass it on, and taken
// back by the name WeCom gave the message.
func TestImageAndRecall(t *testing.T) {
	s, c := cliCorporation(t)
	ctx := t.Context()
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 8, 8))); err != nil {
		t.Fatal(err)
	}
	o := bot.Outgoing{To: "LiLei", Image: picture.Bytes(), Safe: true}
	if _, err := c.Send(ctx, o); err == nil {
		t.Error("an image was sent before it was handed over")
	}
	ready, err := c.Prepare(ctx, o)
	if err != nil || ready.MediaID == "" || ready.Image != nil {
		t.Fatalf("%+v, %v", ready, err)
	}
	if same, err := c.Prepare(ctx, ready); err != nil || same.MediaID != ready.MediaID {
		t.Errorf("%+v, %v", same, err)
	}
	var id string
	for range 2 { // the second is a repetition
		r, err := c.Send(ctx, ready)
		if err != nil || r.MsgID == "" || id != "" && r.MsgID != id {
			t.Fatalf("%+v, %v", r, err)
		}
		id = r.MsgID
	}
	inbox := s.Inbox("lilei")
	if len(inbox) != 1 || inbox[0].Type != "image" || !inbox[0].Safe {
		t.Fatalf("%+v", inbox)
	}
	if data, ok := s.Media(inbox[0].MediaID); !ok || !bytes.Equal(data, picture.Bytes()) {
		t.Error("another picture arrived")
	}
	if _, err := c.Send(ctx, bot.Outgoing{To: "LiLei", Recall: id}); err != nil {
		t.Error(err)
	}
	if inbox := s.Inbox("lilei"); len(inbox) != 0 {
		t.Errorf("still there: %+v", inbox)
	}
	_, err = c.Send(ctx, bot.Outgoing{To: "LiLei", Recall: "no such message"})
	if e, ok := errors.AsType[*bot.Error](err); !ok || e.Kind == bot.Unavailable || e.Kind == bot.Limited {
		t.Errorf("a message that is not ours: %v", err)
	}
	for _, o := range []bot.Outgoing{{To: "LiLei", Text: "x", MediaID: "m"}, {To: "LiLei", Text: "x", Recall: "m"}, {To: "LiLei"}} {
		if _, err := c.Send(ctx, o); err == nil {
			t.Errorf("sent %+v", o)
		}
	}
	_, err = c.Prepare(ctx, bot.Outgoing{To: "LiLei", Image: []byte("no picture at all")})
	if e, ok := errors.AsType[*bot.Error](err); !ok || e.Kind == bot.Unavailable {
		t.Errorf("no picture: %v", err)
	}
}
