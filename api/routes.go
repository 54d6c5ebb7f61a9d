package api

// table is everything there is to call, except what is mounted. A link from
// the chat may lead to any path of the three areas, so each area takes all of
// its paths; which of them is a page is decided in pages.go.
func (s *Server) table() []route {
	return []route{
		{"GET", "/healthz", anybody, plainAPI, s.health},
		{"GET", "/readyz", anybody, plainAPI, s.ready},
		{"GET", "/static/{file...}", anybody, plainAPI, s.staticFile},

		{"GET", "/api/v1/user/me", anyone, tokensAPI, s.me},
		{"POST", "/api/v1/user/logout", anyone, tokensAPI, s.logout},
		{"POST", "/api/v1/tokens/exchange", byASecret, tokensAPI, s.exchange},

		{"GET", "/", anybody, pages, s.front},
		{"GET", "/auth/wecom", anybody, pages, s.signIn},
		{"POST", "/logout", anyone, pages, s.signOut},
		{"GET", "/chat", anyone, pages, s.home},
		{"GET", "/chat/{page...}", anyone, pages, s.noPage},
		{"GET", "/agent", theAgents, pages, s.toHome},
		{"GET", "/agent/{page...}", theAgents, pages, s.noPage},
		{"GET", "/agent/chat", theAgents, pages, s.home},
		{"GET", "/agent/auth/login", theAgents, pages, s.toHome},
		{"GET", "/admin", theAdmins, pages, s.toHome},
		{"GET", "/admin/{page...}", theAdmins, pages, s.noPage},
		{"GET", "/admin/welcome", theAdmins, pages, s.home},
		{"GET", "/admin/auth/login", theAdmins, pages, s.toHome},
		{"GET", "/admin/outbox", adminsOTP, pages, s.outbox},
		{"POST", "/chat", byASecret, pages, s.redeem},
		{"POST", "/chat/{page...}", byASecret, pages, s.redeem},
		{"POST", "/agent", byASecret, pages, s.redeem},
		{"POST", "/agent/{page...}", byASecret, pages, s.redeem},
		{"POST", "/admin", byASecret, pages, s.redeem},
		{"POST", "/admin/{page...}", byASecret, pages, s.redeem},
	}
}
