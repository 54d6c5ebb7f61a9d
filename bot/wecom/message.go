package wecom

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"deskbell/bot"
)

// decode turns the decrypted document into a message. Being signed and encrypted
// it comes from WeCom, but people choose what is in it: it must be for this
// corporation and app, and say each thing once.
//
// Kinds Deskbell acts on must be complete. Anything else, media nobody could fetch
// and anything not sent by a member of this corporation, is bot.Other:
// acknowledged and ignored.
func (a *App) decode(m *bot.Message, r *room, doc []byte, sent int64) error {
	var in scanner
	if err := in.scan(doc); err != nil {
		return refuse(err.Error())
	}
	f := &in.fields
	if string(f[fieldToUserName]) != a.corpID {
		return refuse("corp")
	}
	// Some events for the whole corporation name no app. None is one of ours.
	ours := string(f[fieldAgentID]) == a.appID
	if !ours && len(f[fieldAgentID]) > 0 {
		return refuse("app")
	}
	if in.has(fieldCreateTime) {
		var ok bool
		if sent, ok = number(f[fieldCreateTime]); !ok {
			return refuse("time")
		}
	}
	hasID := isMsgID(f[fieldMsgID])
	kind, media, err := kindOf(&in, hasID)
	if err != nil {
		return err
	}
	if kind != bot.Other && !ours {
		return refuse("app")
	}
	if kind != bot.Other && !in.has(fieldFromUserName) {
		return refuse("sender")
	}
	member := isMember(f[fieldFromUserName])
	if !member {
		kind, media = bot.Other, bot.NoMedia
	}
	b := r.joined[:0]
	if member && hasID {
		b = a.appendMessageKey(b, f[fieldFromUserName], f[fieldMsgID])
	} else {
		b = appendEventKey(b, doc)
	}
	m.Event, m.Sent = kind, time.Unix(sent, 0)
	if m.Media.Kind = media; media != bot.NoMedia {
		packMedia(m, b, f)
		return nil
	}
	pack(m, r, b, f)
	return nil
}

// kindOf says what the document reports, and refuses a message that cannot be
// told from a repetition of itself.
func kindOf(in *scanner, hasID bool) (bot.Event, bot.MediaKind, error) {
	f := &in.fields
	if len(f[fieldMsgType]) == 0 {
		return "", "", refuse("kind")
	}
	switch string(f[fieldMsgType]) {
	case "text":
		if !hasID {
			return "", "", refuse("msgid")
		}
		return bot.Said, bot.NoMedia, nil
	case "event":
		return eventNamed(f[fieldEvent]), bot.NoMedia, nil
	}
	for _, kind := range []bot.MediaKind{bot.Image, bot.Voice, bot.Video, bot.File} {
		if string(f[fieldMsgType]) == string(kind) && hasID && isMediaID(f[fieldMediaID]) {
			return bot.Said, kind, nil
		}
	}
	return bot.Other, bot.NoMedia, nil
}

// isMediaID takes what can be the name of something to fetch. WeCom's are some 90
// letters, digits, "-" and "_"; it promises nothing about them.
func isMediaID(s []byte) bool {
	for _, c := range s {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return len(s) > 0 && len(s) <= 256
}

// eventNamed matches without case, because WeCom writes LOCATION but click.
func eventNamed(name []byte) bot.Event {
	for _, e := range []bot.Event{bot.Clicked, bot.Pressed, bot.Entered, bot.Subscribed, bot.Unsubscribed} {
		if len(name) == len(e) && strings.EqualFold(string(name), string(e)) {
			return e
		}
	}
	return bot.Other
}

// isMember reports whether a sender can be a person of this corporation: not
// WeCom itself, not somebody of a linked one.
func isMember(sender []byte) bool {
	isWeCom := len(sender) == len("sys") && bytes.EqualFold(sender, []byte("sys"))
	return len(sender) <= 64 && bot.ValidUserID(string(sender)) && !isWeCom
}

// isMsgID takes the digits of 64 bits. They stay text: a number would lose some
// on the way through JSON.
func isMsgID(s []byte) bool {
	for _, c := range s {
		if !isDigit(c) {
			return false
		}
	}
	return len(s) > 0 && len(s) <= 20
}

// appendMessageKey says which message this is: "m:corp:app:sender:MsgId". MsgIds
// have been seen to repeat between senders, so the sender is part of it; neither a
// userid nor a MsgId can hold a colon.
func (a *App) appendMessageKey(b, sender, msgID []byte) []byte {
	b = append(b, a.keyPrefix...)
	canonical := len(b)
	b = append(b, sender...)
	for i, c := range b[canonical:] { // as bot.Canonical does, without a string
		if c >= 'A' && c <= 'Z' {
			b[canonical+i] = c + 'a' - 'A'
		}
	}
	return append(append(b, ':'), msgID...)
}

// appendEventKey says which event this is. Events have no MsgId, and two within
// one second may differ in any field: all of it counts.
func appendEventKey(b, doc []byte) []byte {
	sum := sha256.Sum256(doc)
	return hex.AppendEncode(append(b, "e:"...), sum[:])
}

// pack copies what a message keeps behind its key in b, makes one string of it
// and cuts that up: one allocation, and nothing that points into the room.
func pack(m *bot.Message, r *room, b []byte, f *fields) {
	var text, task, code []byte
	switch m.Event {
	case bot.Said:
		text = f[fieldContent]
	case bot.Clicked:
		text = f[fieldEventKey]
	case bot.Pressed:
		text, task, code = f[fieldEventKey], f[fieldTaskID], f[fieldResponseCode]
	}
	from, key := f[fieldFromUserName], len(b)
	b = append(append(b, from...), text...)
	r.joined = append(append(b, task...), code...)

	all := string(r.joined)
	m.Key, all = all[:key], all[key:]
	m.From, all = all[:len(from)], all[len(from):]
	m.Text, all = all[:len(text)], all[len(text):]
	m.Card.TaskID, m.Card.ResponseCode = all[:len(task)], all[len(task):]
}

// packMedia is pack for what is no text.
func packMedia(m *bot.Message, key []byte, f *fields) {
	m.Key, m.From = string(key), string(f[fieldFromUserName])
	m.Media.ID = string(f[fieldMediaID])
	m.Media.Name = bot.FileName(string(f[fieldFileName]))
	m.Media.Format = bot.FileName(string(f[fieldFormat]))
}
