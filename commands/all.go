package commands

// All is the table of contents, in the order /help shows it.
func All() []Command {
	return []Command{help, whoami, login, logout, status, agents, session, otp, token, device, role, audit, broadcast, lang, password, share, bots, users, approve, sendall}
}
