package wecom

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"deskbell/bot"
)

func TestKinds(t *testing.T) {
	for want, codes := range map[bot.Kind][]int{
		bot.Unavailable: {-1, 6000, 45033, 40014, 42001, 40001, 40013, 40091, 60020, 48002, 301002, 50003},
		bot.Limited:     {45009},
		bot.NotFound:    {40003, 60111, 46004, 60011, 60021, 81013},
		bot.Invalid:     {45002, 44004, 42045, 85002},
		bot.Internal:    {40058, 82001, 999999},
	} {
		for _, code := range codes {
			if got := kind(&APIError{Code: code}); got != want {
				t.Errorf("errcode %d: kind %d, want %d", code, got, want)
			}
		}
	}
}

func TestTemporary(t *testing.T) {
	for code, want := range map[int]bool{-1: true, 6000: true, 45009: true, 45033: true, 40001: false, 60020: false, 48002: false, 301002: false, 60111: false} {
		if got := Temporary(fmt.Errorf("send: %w", &APIError{Code: code})); got != want {
			t.Errorf("errcode %d: %v", code, got)
		}
	}
	for _, err := range []error{&outage{}, context.DeadlineExceeded, context.Canceled, fail(bot.Unavailable, &outage{})} {
		if !Temporary(err) {
			t.Errorf("%v is temporary", err)
		}
	}
	for _, err := range []error{nil, errors.New("whatever")} {
		if Temporary(err) {
			t.Errorf("%v is not temporary", err)
		}
	}
}

func TestEgressIP(t *testing.T) {
	if got := (&APIError{Msg: "no, from ip: 203.0.113.7"}).EgressIP(); got != "203.0.113.7" {
		t.Errorf("got %q", got)
	}
	if got := (&APIError{Msg: "no"}).EgressIP(); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestEveryErrcodeHasOneAdvice(t *testing.T) {
	seen := map[int]bool{}
	for _, a := range advices {
		for _, code := range a.codes {
			if seen[code] {
				t.Errorf("errcode %d is listed twice", code)
			}
			seen[code] = true
			if fix, _ := Advice(code); fix == "" {
				t.Errorf("errcode %d has no advice", code)
			}
			if a.class == setup && a.page == "" {
				t.Errorf("errcode %d is to be mended on no page", code)
			}
		}
	}
	if fix, page := Advice(424242); fix == "" || page != "" {
		t.Errorf("an unknown code: %q, %q", fix, page)
	}
	if fix, page := Advice(60020); !strings.Contains(fix, "IP") || !strings.Contains(page, "企业可信IP") {
		t.Errorf("60020: %q, %q", fix, page)
	}
}
