package api

// table is everything there is to call, except what is mounted. A link from
// the chat may lead to any path of the three areas, so each area takes all of
// its paths; which of them is a page is decided in pages.go.
func (s *Server) table() []route {
	return []route{
		{"GET", "/healthz", anybody, plainAPI, s.health},
		{"GET", "/readyz", anybody, plainAPI, s.ready},
		{"GET", "/static/{file...}", anybody, plainAPI, s.staticFile},

		{"POST", "/auth/v1/login", byASecret, tokensAPI, s.logIn},
		{"POST", "/api/agents/otp-bind", ownProofs, agentsAPI, s.otpBind},
		{"POST", "/api/agents/otp-verify", ownProofs, agentsAPI, s.otpVerify},
		{"POST", "/api/agents/otp-unbind", ownSecret, agentsAPI, s.otpUnbind},
		{"POST", "/api/agents/{user_id}/otp-reset", adminsOTP, agentsAPI, s.otpReset},

		{"GET", "/api/v1/user/me", everybody, tokensAPI, s.me},
		{"POST", "/api/v1/user/logout", everybody, tokensAPI, s.logout},
		{"POST", "/api/v1/user/create", adminsOTP, tokensAPI, s.createAccount},
		{"POST", "/api/v1/user/create/batch", adminsAll, tokensAPI, s.createAccounts},
		{"GET", "/api/v1/tokens", adminsOTP, tokensAPI, s.tokens},
		{"POST", "/api/v1/tokens", adminsOTP, tokensAPI, s.makeToken},
		{"DELETE", "/api/v1/tokens/{id}", adminsOTP, tokensAPI, s.endToken},
		{"POST", "/api/v1/tokens/introspect", adminsOTP, introspectionAPI, s.introspect},
		{"POST", "/api/v1/tokens/exchange", byASecret, tokensAPI, s.exchange},

		{"POST", "/api/agents/login", byASecret, agentsAPI, s.agentLogin},
		{"GET", "/api/agents/login/{login_id}", anybody, agentsAPI, s.agentLoginState},
		{"GET", "/api/agents/me", theAgents, agentsAPI, s.agentMe},
		{"PUT", "/api/agents/me/status", agentsOTP, agentsAPI, s.agentStatus},
		{"GET", "/api/agents", agentsOTP, agentsAPI, s.agentList},
		{"POST", "/api/agents/password", ownSecret, agentsAPI, s.agentPassword},

		{"GET", "/api/v1/bots", adminsOTP, detailAPI, s.bots},
		{"POST", "/api/v1/bots", adminsOTP, detailAPI, s.makeBot},
		{"GET", "/api/v1/bots/{bot_id}/share-tokens", adminsOTP, detailAPI, s.shares},
		{"POST", "/api/v1/bots/{bot_id}/share-tokens", adminsOTP, detailAPI, s.share},
		{"DELETE", "/api/v1/bot-share-tokens/{id}", adminsOTP, detailAPI, s.endShare},
		{"GET", "/api/v1/public/bot-share/{share_token}", endUsers, detailAPI, s.publicShare},
		{"POST", "/api/v1/public/bot-share/{share_token}/validate", visitors, detailAPI, s.validateShare},
		{"GET", "/api/v1/end-users", adminsOTP, detailAPI, s.endUsers},
		{"POST", "/api/v1/end-users", adminsOTP, detailAPI, s.makeEndUser},
		{"POST", "/api/v1/end-users/{id}/reset-password", adminsOTP, detailAPI, s.resetEndUser},
		{"DELETE", "/api/v1/end-users/{id}", adminsOTP, detailAPI, s.deleteEndUser},

		{"GET", "/password", anybody, pages, s.passwordPage},
		{"POST", "/password", byASecret, pages, s.passwordSet},
		{"GET", "/", anybody, pages, s.front},
		{"GET", "/auth/wecom", anybody, pages, s.signIn},
		{"GET", "/auth/wecom/callback", anybody, pages, s.signedIn},
		{"POST", "/api/auth/wecom/login", byASecret, detailAPI, s.wecomLogin},
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
