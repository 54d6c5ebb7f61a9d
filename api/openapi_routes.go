package api

import (
	"net/http"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

const aboutAPI = "JSON in and out, UTF-8, bodies of at most 1 MiB. Times are RFC 3339 with offset. Unknown fields are refused. " +
	"Limits answer 429 with Retry-After. With security.require_admin_otp, an administrator's token without a one-time password opens " +
	"only the own user or agent, otp-bind, otp-verify and logout: all else is 403."

// groups are the parts of the API, in the order they are read; a route is in the
// first whose paths it has.
var groups = []struct {
	name, says string
	prefixes   []string
}{
	{"Agents", `Agents and their one-time passwords: {"code":0,"message":"success","data":…}.`, []string{"/api/agents"}},
	{"Tokens", `Accounts and access tokens: {"message","code","data"}.`, []string{"/auth/v1/", "/api/v1/user/", "/api/v1/tokens"}},
	{"Bots", `Bots, share tokens and end users; errors are {"detail"}.`, []string{"/api/v1/"}},
	{"Devices", `Devices and who may use them; errors are {"success":false,"message"}.`, []string{"/devices", "/auto-auth/", "/apps/"}},
	{"Values", "The key-value store of a device, for apps.", []string{"/kv"}},
	{"Sessions", `Helpdesk sessions; errors are {"detail"}.`, []string{"/api/sessions"}},
	{"WeCom", `Sign-in at WeCom, and WeCom's callbacks.`, []string{"/api/auth/", callbackPath}},
	{"Operations", "For those who run it.", []string{"/"}},
}

func group(path string) string {
	for _, g := range groups {
		for _, prefix := range g.prefixes {
			if strings.HasPrefix(path, prefix) {
				return g.name
			}
		}
	}
	return ""
}

var (
	anyText = object{"type": "string"}
	listing = []parameter{
		{"sortBy", "By what to sort.", object{"type": "string", "enum": []string{"key", "createdAt", "updatedAt"}, "default": "key"}},
		{"sortDir", "In which direction.", object{"type": "string", "enum": []string{"asc", "desc"}, "default": "asc"}},
		{"limit", "How many.", object{"type": "integer", "minimum": 1, "maximum": listLargest, "default": listUsual}},
		{"skip", "How many to leave out first.", object{"type": "integer", "minimum": 0, "default": 0}},
		{"after", "The key behind which to begin, as load_more has it.", anyText},
		{"at", "The time of that entry, as load_more has it.", object{"type": "string", "format": "date-time"}},
	}
)

const (
	denied      = http.StatusForbidden
	missing     = http.StatusNotFound
	taken       = http.StatusConflict
	unproven    = http.StatusUnauthorized
	limited     = http.StatusTooManyRequests
	unavailable = http.StatusServiceUnavailable
)

// operations has an entry for every route that is no page.
var operations = map[string]operation{
	"GET /healthz":          {id: "health", says: "Whether the process runs", out: health{}},
	"GET /readyz":           {id: "ready", says: "Whether to send requests here", out: readiness{}, also: map[int]any{unavailable: readiness{}}},
	"GET /api/openapi.json": {id: "openAPI", says: "This document", out: raw{}, also: map[int]any{http.StatusNotModified: noContent{}}},
	"GET /static/{file...}": {id: "static", says: "A file the pages refer to", out: file{}, also: map[int]any{http.StatusNotModified: noContent{}}, fails: []int{missing}},

	"POST /auth/v1/login":       {id: "logIn", says: "Sign an account or an end user in", in: loginRequest{}, needs: []string{"password"}, out: signedInAs{}, fails: []int{unproven}},
	"POST /api/agents/otp-bind": {id: "bindOTP", says: "Get a new one-time password secret", out: otpKey{}, fails: []int{taken}, notAll: true},
	"POST /api/agents/otp-verify": {id: "verifyOTP", says: "Enable the secret with a code, or raise the token with one", in: otpVerifyRequest{}, needs: []string{"otp_code"},
		out: otpVerified{}, fails: []int{limited}, notAll: true},
	"POST /api/agents/otp-unbind": {id: "unbindOTP", says: "Turn the own one-time password off, by otp_code or recovery_code", in: otpUnbindRequest{}, out: done{}, fails: []int{limited}, notAll: true},
	"POST /api/agents/{user_id}/otp-reset": {id: "resetOTP", says: "Turn somebody's one-time password off, with an own code", in: otpResetRequest{}, needs: []string{"otp_code"},
		out: done{}, fails: []int{missing, limited}, notAll: true},

	"GET /api/v1/user/me":            {id: "me", says: "Whose token this is", out: user{}},
	"POST /api/v1/user/logout":       {id: "logOut", says: "Revoke this token", out: true, fails: []int{denied}, notAll: true},
	"POST /api/v1/user/create":       {id: "createAccount", says: "Make an account; email or mobile is needed", in: wishedAccount{}, out: user{}},
	"POST /api/v1/user/create/batch": {id: "createAccounts", says: "Make up to 500 accounts, each with its own result", in: accountsRequest{}, needs: []string{"users"}, out: []accountMade{}},
	"GET /api/v1/tokens": {id: "tokens", says: "The access tokens that are good, newest first", out: tokenPage{}, query: []parameter{
		{"user", "Whose: a userid, username, email or mobile.", anyText},
		{"limit", "How many.", object{"type": "integer", "minimum": 1, "maximum": tokensShown, "default": tokensShown}},
		{"after", "The next of the page before.", anyText},
	}},
	"POST /api/v1/tokens":        {id: "makeToken", says: "Make an access token, shown this once", in: tokenRequest{}, needs: []string{"user"}, out: madeToken{}, fails: []int{missing}},
	"DELETE /api/v1/tokens/{id}": {id: "endToken", says: "Revoke an access token", out: true, fails: []int{missing}},
	"POST /api/v1/tokens/introspect": {id: "introspect", says: "What a token is (RFC 7662)", in: introspectRequest{}, needs: []string{"token"}, form: true,
		out: introspection{}},
	"POST /api/v1/tokens/exchange": {id: "exchange", says: "Exchange a chat link's token for an access token, once", in: exchangeRequest{}, needs: []string{"access_token"},
		out: granted{}, fails: []int{unproven, denied}},

	"POST /api/agents/login": {id: "agentLogin", says: "Sign an agent in by password, WeCom's code, or approval in the chat", in: agentLoginRequest{}, needs: []string{"user_id"},
		out: eitherOf{login{}, otpWanted{}}, also: map[int]any{http.StatusAccepted: approvalWanted{}}, fails: []int{unproven, denied, unavailable}},
	"GET /api/agents/login/{login_id}": {id: "agentLoginState", says: "What has become of a login that was to be approved; the token comes once",
		headers: []parameter{{otpHeader, "The one-time password, when the answer asks for it.", anyText}},
		out:     eitherOf{approvedLogin{}, approvedWithoutOTP{}, stateOf{}}, fails: []int{unproven, denied, missing, limited}},
	"GET /api/agents/me":        {id: "agentMe", says: "The agent whose token this is", out: agent{}, notAll: true},
	"PUT /api/agents/me/status": {id: "setStatus", says: "Set the own status", in: statusRequest{}, needs: []string{"status"}, out: agent{}, notAll: true},
	"GET /api/agents": {id: "agents", says: "All agents, by name", out: itemList[agent]{},
		query: []parameter{{"status", "Only those with it.", object{"type": "string", "enum": agentStatuses}}}},
	"POST /api/agents/password": {id: "setPassword", says: "Set the own local password, of 8 to 128 characters", in: passwordRequest{}, needs: []string{"new_password"},
		out: done{}, fails: []int{limited}, notAll: true},

	"GET /api/v1/bots":                           {id: "bots", says: "All bots, newest first", out: itemList[botItem]{}},
	"POST /api/v1/bots":                          {id: "makeBot", says: "Make a bot", in: botRequest{}, needs: []string{"name"}, out: botItem{}, status: http.StatusCreated},
	"GET /api/v1/bots/{bot_id}/share-tokens":     {id: "shares", says: "A bot's share tokens, newest first", out: itemList[shareItem]{}, fails: []int{missing}},
	"POST /api/v1/bots/{bot_id}/share-tokens":    {id: "share", says: "Make a share token, shown this once", in: shareRequest{}, out: shareItem{}, fails: []int{missing}},
	"DELETE /api/v1/bot-share-tokens/{id}":       {id: "endShare", says: "Revoke a share token", out: succeeded{}, fails: []int{missing}},
	"GET /api/v1/public/bot-share/{share_token}": {id: "publicShare", says: "The bot behind a share token, for an end user", out: publicBot{}, fails: []int{missing}},
	"POST /api/v1/public/bot-share/{share_token}/validate": {id: "validateShare", says: "Whether a share token is for a bot", in: validateRequest{}, needs: []string{"bot_id"},
		out: validity{}, fails: []int{missing}},
	"GET /api/v1/end-users":                      {id: "endUsers", says: "All end users, newest first", out: itemList[endUser]{}},
	"POST /api/v1/end-users":                     {id: "makeEndUser", says: "Make an end user's account", in: endUserRequest{}, needs: []string{"username", "password"}, out: endUser{}, fails: []int{taken}},
	"POST /api/v1/end-users/{id}/reset-password": {id: "resetEndUser", says: "Give an end user another password", in: resetRequest{}, needs: []string{"password"}, out: succeeded{}, fails: []int{missing}},
	"DELETE /api/v1/end-users/{id}":              {id: "deleteEndUser", says: "Remove an end user's account", out: succeeded{}, fails: []int{missing}},

	"GET /devices": {id: "devices", says: "The own devices", out: items[shownDevice]{}, notAll: true},
	"POST /devices": {id: "makeDevice", says: "Make a device; name or deviceName is needed", in: deviceRequest{}, out: shownDevice{}, status: http.StatusCreated,
		fails: []int{taken}, notAll: true},
	"DELETE /devices/{uuid}":                     {id: "removeDevice", says: "Remove a device and all that is on it", out: noContent{}, status: http.StatusNoContent, fails: []int{missing}, notAll: true},
	"GET /devices/{uuid}/tokens":                 {id: "deviceTokens", says: "The apps' tokens of a device", out: items[shownApp]{}, fails: []int{missing}, notAll: true},
	"DELETE /devices/{uuid}/tokens/{id}":         {id: "endDeviceToken", says: "Revoke an app's token", out: noContent{}, status: http.StatusNoContent, fails: []int{missing}, notAll: true},
	"GET /auto-auth/devices/{uuid}/auth-configs": {id: "authConfigs", says: "The auth configs of a device", out: configList{}, fails: []int{missing}, notAll: true},
	"POST /auto-auth/devices/{uuid}/auth-configs": {id: "makeAuthConfig", says: "Make an auth config", in: configRequest{}, out: oneConfig{}, status: http.StatusCreated,
		fails: []int{missing}, notAll: true},
	"PUT /auto-auth/devices/{uuid}/auth-configs/{configId}": {id: "changeAuthConfig", says: "Change an auth config, which revokes its tokens", in: configRequest{}, out: oneConfig{},
		fails: []int{missing}, notAll: true},
	"DELETE /auto-auth/devices/{uuid}/auth-configs/{configId}": {id: "removeAuthConfig", says: "Remove an auth config and revoke its tokens", out: noContent{},
		status: http.StatusNoContent, fails: []int{missing}, notAll: true},
	"POST /apps/auth/token": {id: "appToken", says: "Get an app a token of a device", in: appTokenRequest{}, needs: []string{"namespace", "appId"}, out: madeAppToken{},
		status: http.StatusCreated, fails: []int{unproven, missing}},
	"POST /apps/tokens/{token}/set-student-name": {id: "setStudentName", says: "Say which pupil has a token", in: studentRequest{}, needs: []string{"name"}, out: namedApp{},
		fails: []int{denied, missing}},

	"GET /kv":                {id: "values", says: "Entries without their values", query: listing, out: valuePage{}},
	"GET /kv/_info":          {id: "deviceInfo", says: "Which device this is", out: deviceInfo{}},
	"GET /kv/_token":         {id: "tokenInfo", says: "What this token is", out: tokenInfo{}},
	"GET /kv/_keys":          {id: "keys", says: "Keys alone", query: listing, out: keyPage{}},
	"POST /kv/_batchimport":  {id: "importValues", says: "Store many entries at once", in: map[string]jsontext.Value{}, out: imported{}},
	"GET /kv/{key}":          {id: "value", says: "A value, as it was stored", out: raw{}, fails: []int{missing}},
	"POST /kv/{key}":         {id: "putValue", says: "Store a value, which is any JSON", in: raw{}, out: storedValue{}},
	"DELETE /kv/{key}":       {id: "removeValue", says: "Remove an entry", out: noContent{}, status: http.StatusNoContent, fails: []int{missing}},
	"GET /kv/{key}/metadata": {id: "metadata", says: "What is known of an entry beside its value", out: shownValue{}, fails: []int{missing}},

	"GET /api/sessions": {id: "sessions", says: "The own sessions, newest first", query: []parameter{
		{"all", "All there are, for administrators.", object{"type": "boolean", "default": false}},
		{"status", "Those of one status.", object{"type": "string", "enum": []string{"open", "queued", "closed"}}},
		{"limit", "How many.", object{"type": "integer", "minimum": 1, "maximum": sessionsMost, "default": sessionsUsual}},
		{"before", "Opened before this time.", object{"type": "string", "format": "date-time"}},
	}, out: itemList[deskSession]{}},
	"POST /api/sessions":             {id: "openSession", says: "Open a session, or get the one that is open; topic is the same as title", in: sessionRequest{}, optional: true, out: deskSession{}, notAll: true},
	"GET /api/sessions/{id}":         {id: "session", says: "A session", out: deskSession{}, fails: []int{missing}},
	"POST /api/sessions/{id}/close":  {id: "closeSession", says: "Close a session", out: deskSession{}, fails: []int{missing}},
	"POST /api/sessions/{id}/reopen": {id: "reopenSession", says: "Go on with a session that was closed within a day", out: deskSession{}, fails: []int{missing, taken}},
	"POST /api/sessions/{id}/transfer": {id: "transferSession", says: "Give a session to another agent, who has to be online and have room", in: transferRequest{}, needs: []string{"agent"},
		out: deskSession{}, fails: []int{missing, taken}},
	"GET /api/sessions/{id}/messages": {id: "messages", says: "What was said, in its order", query: []parameter{
		{"after", "The id of the message behind which to begin.", anyText},
		{"limit", "How many.", object{"type": "integer", "minimum": 1, "maximum": messagesMost, "default": messagesMost}},
	}, out: itemList[deskMessage]{}, fails: []int{missing}},
	"POST /api/sessions/{id}/messages": {id: "say", says: "Say something, once for each Idempotency-Key", in: messageRequest{}, needs: []string{"content"}, headers: []parameter{
		{idempotencyKey, "The caller's own name for this message: sent again with it, the answer is the message that was said.", object{"type": "string", "minLength": 1, "maxLength": 128}},
	}, out: deskMessage{}, fails: []int{missing, taken}},
	"POST /api/sessions/{id}/seen": {id: "seen", says: "Note up to which message the caller has read", in: seenRequest{}, needs: []string{"message"}, out: deskSession{}, fails: []int{missing}},
	"GET /api/sessions/{id}/events": {id: "sessionEvents", says: "What is said and what becomes of the session, live, as server-sent events: message, session, end", query: []parameter{
		{"after", "The number or the id of the message behind which to begin, instead of after what is there now.", anyText},
	}, headers: []parameter{{"Last-Event-ID", "The number of the last message that arrived, which comes before after.", anyText}},
		out: eventStream{}, fails: []int{missing, limited}},
	"GET /api/sessions/{id}/export": {id: "exportSession", says: "A session as a file", query: []parameter{
		{"format", "A page for people, or JSON.", object{"type": "string", "enum": []string{"html", "json"}, "default": "html"}},
	}, out: file{}, fails: []int{missing}},
	"GET /api/sessions/{id}/media/{media}": {id: "sessionMedium", says: "A picture, voice, video or file that was sent in a session", out: file{}, fails: []int{missing}},

	"POST /api/auth/wecom/login": {id: "wecomLogin", says: "Sign in with a code of WeCom's", in: wecomLoginRequest{}, needs: []string{"code"}, out: signedInMember{},
		fails: []int{unproven}},
}

// introspectRequest is RFC 7662's form.
type introspectRequest struct {
	Token string `json:"token"`
}

// callbackPath is where WeCom calls. It is mounted beside the table, so nothing
// of it can be read from there.
const callbackPath = "/callbacks/wecom"

func callbackOperations() object {
	plain := func(says string) object {
		return object{"description": says, "content": object{"text/plain": object{"schema": anyText}}}
	}
	xml := object{"application/xml": object{"schema": anyText}}
	query := func(more ...object) []object {
		return append([]object{
			{"name": "msg_signature", "in": "query", "required": true, "schema": object{"type": "string", "pattern": "^[0-9a-f]{40}$"}},
			{"name": "timestamp", "in": "query", "required": true, "schema": object{"type": "string", "pattern": "^[0-9]{10}$"}},
			{"name": "nonce", "in": "query", "required": true, "schema": object{"type": "string", "minLength": 1, "maxLength": 128}},
		}, more...)
	}
	both := func(id, says string, params []object, answers object) object {
		answers["403"] = plain("Not from WeCom, or not for this app")
		answers["default"] = plain("Any other failure")
		return object{
			"operationId": id, "summary": says, "tags": []string{group(callbackPath)}, "security": []object{},
			"parameters": params, "responses": answers,
		}
	}
	post := both("callback", "A message or an event, encrypted and signed by WeCom", query(), object{
		"200": object{"description": "Received: the encrypted reply, or nothing", "content": object{"application/xml": xml["application/xml"], "text/plain": object{"schema": anyText}}},
		"400": plain("The outer body is not XML"), "413": plain("Over 64 KiB"), "503": plain("The store is down: deliver again"),
	})
	post["requestBody"] = object{"required": true, "content": xml}
	echo := object{"name": "echostr", "in": "query", "required": true, "schema": anyText}
	return object{
		"get":  both("verifyCallback", "WeCom's verification of the URL", query(echo), object{"200": plain("echostr, decrypted")}),
		"post": post,
	}
}
