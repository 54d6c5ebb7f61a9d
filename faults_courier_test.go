package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"deskbell/bot/wecom"
	"deskbell/bot/wecom/sim"
)

// courier delivers callbacks, signed as WeCom signs them, as fast as they are
// taken. Unlike the simulator it neither tries again nor shows anybody anything.
type courier struct {
	conf   sim.Config
	keys   *wecom.Keys
	client *http.Client
	nonce  atomic.Int64
}

func newCourier(t testing.TB, c sim.Config) *courier {
	t.Helper()
	keys, err := wecom.NewKeys(c.Token, c.EncodingAESKey, c.CorpID)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 1024}
	t.Cleanup(transport.CloseIdleConnections)
	return &courier{conf: c, keys: keys, client: &http.Client{Transport: transport}}
}

// deliver brings message number id of a person, and returns how it was answered
// and what the person is told, "" for nothing.
func (c *courier) deliver(ctx context.Context, target, person, text string, id int) (status int, reply string, err error) {
	now := strconv.FormatInt(time.Now().Unix(), 10)
	sealed := c.keys.Encrypt(nil, fmt.Appendf(nil,
		"<xml><ToUserName><![CDATA[%s]]></ToUserName><FromUserName><![CDATA[%s]]></FromUserName><CreateTime>%s</CreateTime><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[%s]]></Content><MsgId>%d</MsgId><AgentID>%d</AgentID></xml>",
		c.conf.CorpID, person, now, text, id, c.conf.AgentID))
	nonce := strconv.FormatInt(c.nonce.Add(1), 10)
	sum := c.keys.Sign([]byte(now), []byte(nonce), sealed)
	query := url.Values{"msg_signature": {hex.EncodeToString(sum[:])}, "timestamp": {now}, "nonce": {nonce}}
	body := fmt.Appendf(nil, "<xml><ToUserName><![CDATA[%s]]></ToUserName><AgentID><![CDATA[%d]]></AgentID><Encrypt><![CDATA[%s]]></Encrypt></xml>",
		c.conf.CorpID, c.conf.AgentID, sealed)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target+"?"+query.Encode(), bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || len(answer) == 0 {
		return resp.StatusCode, "", err
	}
	reply, err = c.read(answer)
	return resp.StatusCode, reply, err
}

func (c *courier) read(answer []byte) (string, error) {
	plain, err := c.keys.Decrypt(between(answer, "<Encrypt><![CDATA[", "]]></Encrypt>"))
	if err != nil {
		return "", err
	}
	content := between(plain, "<Content><![CDATA[", "]]></Content>")
	if content == nil {
		return "", errors.New("a reply without content")
	}
	return string(content), nil
}

func between(text []byte, before, after string) []byte {
	_, text, _ = bytes.Cut(text, []byte(before))
	text, _, ok := bytes.Cut(text, []byte(after))
	if !ok {
		return nil
	}
	return text
}
