package store

import "deskbell/bot"

// proof is how a caller showed that they are the person they say they are.
// Saying it is none.
type proof string

const (
	nothing    proof = ""
	byPassword proof = "password" // knows the local password
	byWeCom    proof = "wecom"    // was signed in by WeCom just now
	byApproval proof = "approval" // approved it in their own chat
)

// standing is what a login depends on beside the proof.
type standing struct {
	state    bot.State // what the directory says of the person
	asked    bool      // it was asked just now; if not, that is its last word
	level    bot.Level
	agent    bool // registered at the desk before
	otp      bool // uses one-time passwords
	otpGiven bool // and gave one, which was spent for this
}

// ruling is what becomes of a login.
type ruling int

const (
	mustProve    ruling = iota // nothing shows that it is them
	notActive                  // proven, and not an active member
	unverifiable               // proven, and nobody can say whether they are one
	noRole                     // a member who does not work at the desk
	wantsOTP                   // one more factor is missing
	briefly                    // a token that does not live long: the directory was not asked
	granted
)

// rule decides every login at the desk. The order is what keeps it honest: who
// proves nothing learns nothing, and whether the directory answers changes only
// where the person's state is read, never what they must show. When it does not
// answer, less is granted to fewer: nobody gets a token they would not have got.
func rule(p proof, s standing) ruling {
	switch {
	case p == nothing:
		return mustProve
	case s.asked && s.state != bot.Active:
		return notActive
	case !s.asked && (p != byPassword || !s.agent || s.state != bot.Active):
		return unverifiable
	case s.level < bot.Agent:
		return noRole
	case s.otp && !s.otpGiven:
		return wantsOTP
	case !s.asked:
		return briefly
	}
	return granted
}
