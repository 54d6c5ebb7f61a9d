package store

import (
	"testing"

	"deskbell/bot"
)

var (
	allStates = []bot.State{bot.Active, bot.Disabled, bot.Left, bot.Inactive, bot.Unknown, bot.Hidden, bot.Unreachable}
	allProofs = []proof{nothing, byPassword, byWeCom, byApproval}
)

// standings calls fn with everything a login can depend on.
func standings(fn func(proof, standing)) {
	for _, p := range allProofs {
		for _, state := range allStates {
			for _, level := range []bot.Level{bot.Anyone, bot.Agent, bot.Admin} {
				for bits := range 16 {
					fn(p, standing{state: state, level: level, asked: bits&1 > 0, agent: bits&2 > 0, otp: bits&4 > 0, otpGiven: bits&8 > 0})
				}
			}
		}
	}
}

// An outage never lowers the bar, and nobody is anybody by saying so.
func TestOutageNeverLowersTheBar(t *testing.T) {
	cells, tokens, brief := 0, 0, 0
	standings(func(p proof, s standing) {
		cells++
		got := rule(p, s)
		if got != granted && got != briefly {
			return
		}
		tokens++
		switch {
		case p == nothing:
			t.Errorf("%+v: a token for a bare userid", s)
		case s.state != bot.Active || s.level < bot.Agent:
			t.Errorf("%s %+v: a token", p, s)
		case s.otp && !s.otpGiven:
			t.Errorf("%s %+v: a token without the one-time password", p, s)
		}
		if s.asked != (got == granted) {
			t.Errorf("%s %+v: ruled %d", p, s, got)
		}
		if got == briefly {
			brief++
			up := s
			up.asked = true
			if rule(p, up) != granted {
				t.Errorf("%s %+v: what is enough in an outage is not enough without one", p, s)
			}
			if p != byPassword || !s.agent {
				t.Errorf("%s %+v: a token in an outage", p, s)
			}
		}
	})
	t.Logf("%d cells, %d with a token, %d of those in an outage", cells, tokens, brief)
	if tokens == 0 || brief == 0 {
		t.Error("nobody ever gets in")
	}
}

// Who proves nothing learns nothing.
func TestWithoutProofNothingIsTold(t *testing.T) {
	standings(func(p proof, s standing) {
		if got := rule(p, s); (p == nothing) != (got == mustProve) {
			t.Errorf("%q %+v: ruled %d", p, s, got)
		}
	})
}
