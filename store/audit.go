package store

import (
	"context"
	"fmt"
	"time"

	"deskbell/bot"

	"github.com/uptrace/bun"
)

// Actions lists what an entry can be about. Each is written once, in the
// transaction of its effect. A refusal has no effect; its entry is in the
// transaction that counts it, which commits.
var Actions = []struct{ Name, Means string }{
	{"account.create", "an account was made"},
	{"account.login", "an account signed in, or (refused) could not"},
	{"agent.load", "how many sessions an agent has at once was set"},
	{"app.name", "a pupil chose a name for an app's token"},
	{"app.revoke", "an app's token was revoked"},
	{"app.token", "an app got a token of a device, or (refused) could not"},
	{"bot.create", "a bot was made"},
	{"broadcast.ask", "an administrator wants something said to everybody"},
	{"broadcast.send", "and confirmed it"},
	{"command.refuse", "somebody wanted of the chat what their role does not allow (refused)"},
	{"device.add", "a device was made"},
	{"device.close", "a way for apps to get tokens of it was removed, and its tokens"},
	{"device.open", "a way for apps to get tokens of it was made"},
	{"device.remove", "a device went, with everything on it"},
	{"device.reopen", "and changed, which ends the tokens it gave"},
	{"enduser.delete", "an end user's account was deleted"},
	{"enduser.password", "a new password was made and shown, once"},
	{"enduser.reset", "the old one ended"},
	{"keys.rotate", "what older encryption keys sealed was sealed anew"},
	{"link.make", "a link that signs its owner in was made"},
	{"link.refuse", "somebody else opened a link from the chat in WeCom (refused)"},
	{"link.reuse", "a link from the chat was used again: refused, and what it gave revoked"},
	{"link.use", "a link from the chat was used: exchanged for a token, or its own token for the first time"},
	{"login", "somebody signed in as an agent, or (refused) could not"},
	{"login.approved", "a sign-in was approved in the chat"},
	{"login.ask", "a person was asked in the chat whether it is them"},
	{"login.denied", "they said no"},
	{"login.missed", "another number was pressed than the one on the screen: denied, too"},
	{"login.wecom", "somebody signed in with WeCom's page, or (refused) could not"},
	{"otp.bind", "a secret was handed out"},
	{"otp.cancel", "it was given up before it was verified"},
	{"otp.disable", "one-time passwords were turned off by their owner"},
	{"otp.enable", "the first code was right: they are on"},
	{"otp.expire", "a secret was not verified in time"},
	{"otp.lock", "too many wrong codes"},
	{"otp.recover", "a recovery code was used"},
	{"otp.refuse", "a wrong or used code (refused)"},
	{"otp.reset", "an administrator, or whoever has the host, turned them off"},
	{"otp.use", "a code was right, and is used up"},
	{"password.link", "a link that sets a local password was made"},
	{"password.refuse", "the old password was wrong, so there is no new one (refused)"},
	{"password.set", "a local password was set"},
	{"person.leave", "a person was cut off, and of what"},
	{"person.return", "the directory calls their userid active again"},
	{"push.resend", "a message that was given up is sent again"},
	{"role.grant", "an administrator gave a role"},
	{"role.revoke", "and took it back"},
	{"session.assign", "a helpdesk session was given to an agent"},
	{"session.close", "a helpdesk session was closed"},
	{"session.export", "a helpdesk session was saved as a file"},
	{"session.open", "a helpdesk session was opened"},
	{"session.release", "a helpdesk session was taken from an agent"},
	{"session.reopen", "a closed helpdesk session goes on"},
	{"session.transfer", "a helpdesk session was given on to another agent"},
	{"share.create", "a bot was shared"},
	{"share.extend", "for longer"},
	{"share.open", "an end user saw the bot"},
	{"share.revoke", "and no more"},
	{"status.return", "a timed status ended"},
	{"status.set", "an agent's status was set"},
	{"token.make", "an access token was made by an administrator"},
	{"token.revoke", "one token was revoked"},
	{"tokens.revoke", "several were, by their owner"},
}

// AuditEntry is something worth remembering that somebody did.
type AuditEntry struct {
	At     time.Time // set by Audit
	Actor  string    // userid
	Action string    // one of Actions
	Target string    // userid or id of what it was done to
	Result string    // "ok" when empty
	Detail string    // never a secret
}

type auditRow struct {
	bun.BaseModel `bun:"table:audit"`

	ID     int64     `bun:"id,pk,autoincrement"`
	At     time.Time `bun:"at"`
	Actor  string    `bun:"actor"`
	Action string    `bun:"action"`
	Target string    `bun:"target"`
	Result string    `bun:"result"`
	Detail string    `bun:"detail"`
	Chain  string    `bun:"chain"`
	Seq    int64     `bun:"seq"`      // from 1, without gaps in a chain
	Prev   string    `bun:"prev_mac"` // the MAC of the entry before
	MAC    string    `bun:"mac"`      // over all of the above but the id
}

// Audit records e with the effect of this transaction: there is no effect
// without its entry, and no entry without its effect.
func (tx *Tx) Audit(e AuditEntry) {
	if e.Result == "" {
		e.Result = "ok"
	}
	tx.audits = append(tx.audits, auditRow{At: tx.Now.Truncate(time.Microsecond), Actor: bot.Canonical(e.Actor), Action: e.Action, Target: bot.Canonical(e.Target), Result: e.Result, Detail: e.Detail})
}

func (tx *Tx) writeAudit(text []byte) ([]byte, error) {
	if len(tx.audits) == 0 {
		return text, nil
	}
	tx.link()
	return tx.insert(text, &tx.audits, "id")
}

// AuditTrail lists the latest n entries, newest first: those a person made or
// was the target of, or everybody's for "". What this transaction itself did is
// not in it yet.
func (tx *Tx) AuditTrail(ctx context.Context, userID string, n int) ([]AuditEntry, error) {
	q := tx.db.NewSelect().Table("audit").Column("at", "actor", "action", "target", "result", "detail").Order("id DESC").Limit(n)
	if userID != "" {
		q = q.Where("actor = ?0 OR target = ?0", bot.Canonical(userID))
	}
	var list []AuditEntry
	if err := q.Scan(ctx, &list); err != nil {
		return nil, fmt.Errorf("audit trail: %w", err)
	}
	return list, nil
}
