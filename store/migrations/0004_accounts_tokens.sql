ALTER TABLE tokens ADD COLUMN account TEXT NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN degraded BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE tokens ADD COLUMN last_used_at TIMESTAMPTZ;
ALTER TABLE tokens ADD COLUMN shared TEXT NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN share_due BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX tokens_account ON tokens (account) WHERE account <> '' AND revoked_at IS NULL;
CREATE INDEX tokens_live ON tokens (created_at, id) WHERE kind = 'dba' AND revoked_at IS NULL;
CREATE INDEX tokens_share_due ON tokens (id) WHERE share_due;
CREATE INDEX tokens_shared ON tokens (id) WHERE shared <> '';

CREATE TABLE accounts (
	uid                  TEXT        PRIMARY KEY,
	username             TEXT        NOT NULL,
	nickname             TEXT        NOT NULL,
	email                TEXT        NOT NULL DEFAULT '',
	mobile               TEXT        NOT NULL DEFAULT '',
	country              TEXT        NOT NULL DEFAULT '',
	avatar               TEXT        NOT NULL DEFAULT '',
	description          TEXT        NOT NULL DEFAULT '',
	platform             TEXT        NOT NULL DEFAULT '',
	sex                  TEXT        NOT NULL DEFAULT 'UNKNOWN',
	enabled              BOOLEAN     NOT NULL DEFAULT TRUE,
	email_verified       BOOLEAN     NOT NULL DEFAULT FALSE,
	mobile_verified      BOOLEAN     NOT NULL DEFAULT TRUE,
	password             TEXT        NOT NULL DEFAULT '',
	password_modified_at TIMESTAMPTZ,
	is_end_user          BOOLEAN     NOT NULL DEFAULT FALSE,
	created_by           TEXT        NOT NULL,
	created_at           TIMESTAMPTZ NOT NULL,
	last_login_at        TIMESTAMPTZ
);
CREATE INDEX accounts_created ON accounts (created_at, uid);

CREATE TABLE account_names (
	name    TEXT PRIMARY KEY,
	account TEXT NOT NULL
);
CREATE INDEX account_names_account ON account_names (account);
