CREATE TABLE bots (
	id         TEXT        PRIMARY KEY,
	owner      TEXT        NOT NULL,
	name       TEXT        NOT NULL,
	settings   TEXT        NOT NULL,
	created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX bots_owner ON bots (owner) WHERE owner <> '';
CREATE INDEX bots_created ON bots (created_at, id);

CREATE TABLE share_tokens (
	id         TEXT        PRIMARY KEY,
	hash       TEXT        NOT NULL UNIQUE,
	link       TEXT        NOT NULL,
	last4      TEXT        NOT NULL,
	bot        TEXT        NOT NULL,
	name       TEXT        NOT NULL,
	created_at TIMESTAMPTZ NOT NULL,
	expires_at TIMESTAMPTZ,
	remind_at  TIMESTAMPTZ,
	revoked_at TIMESTAMPTZ,
	revoked_by TEXT        NOT NULL DEFAULT '',
	opens      BIGINT      NOT NULL DEFAULT 0,
	opened_at  TIMESTAMPTZ
);
CREATE INDEX share_tokens_bot ON share_tokens (bot, created_at);
CREATE INDEX share_tokens_remind ON share_tokens (remind_at) WHERE remind_at IS NOT NULL;

CREATE INDEX accounts_end_users ON accounts (created_at, uid) WHERE is_end_user;
