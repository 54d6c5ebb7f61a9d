-- A device belongs to one person of the directory or to one account. entries and
-- bytes are the sums over its kv rows, kept by whoever writes those.
CREATE TABLE devices (
	id         TEXT        PRIMARY KEY,
	name       TEXT        NOT NULL,
	namespace  TEXT        NOT NULL,
	ns_key     TEXT        NOT NULL UNIQUE,
	salt       TEXT        NOT NULL,
	person     TEXT        NOT NULL DEFAULT '',
	account    TEXT        NOT NULL DEFAULT '',
	entries    BIGINT      NOT NULL DEFAULT 0,
	bytes      BIGINT      NOT NULL DEFAULT 0,
	created_at TIMESTAMPTZ NOT NULL,
	updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX devices_person ON devices (person, created_at, id) WHERE person <> '';
CREATE INDEX devices_account ON devices (account, created_at, id) WHERE account <> '';

-- revision counts the changes, so that a token is made for the configuration
-- whose password was compared, or not at all.
CREATE TABLE device_configs (
	id          TEXT        PRIMARY KEY,
	device      TEXT        NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
	password    TEXT        NOT NULL DEFAULT '',
	device_type TEXT        NOT NULL DEFAULT '',
	read_only   BOOLEAN     NOT NULL DEFAULT FALSE,
	revision    BIGINT      NOT NULL DEFAULT 1,
	used_at     TIMESTAMPTZ,
	created_at  TIMESTAMPTZ NOT NULL,
	updated_at  TIMESTAMPTZ NOT NULL
);
CREATE INDEX device_configs_device ON device_configs (device, created_at, id);

CREATE TABLE app_tokens (
	id           TEXT        PRIMARY KEY,
	hash         TEXT        NOT NULL UNIQUE,
	device       TEXT        NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
	config       TEXT        NOT NULL REFERENCES device_configs (id) ON DELETE CASCADE,
	app_id       TEXT        NOT NULL,
	device_type  TEXT        NOT NULL,
	read_only    BOOLEAN     NOT NULL,
	note         TEXT        NOT NULL DEFAULT '',
	installed_at TIMESTAMPTZ NOT NULL,
	updated_at   TIMESTAMPTZ NOT NULL,
	last_used_at TIMESTAMPTZ NOT NULL,
	expires_at   TIMESTAMPTZ NOT NULL
);
CREATE INDEX app_tokens_device ON app_tokens (device, last_used_at);
CREATE INDEX app_tokens_config ON app_tokens (config);
CREATE INDEX app_tokens_expires ON app_tokens (expires_at);

-- The value comes last, so that a list reads the columns before it and not the
-- value itself. Keys are in the order of their bytes on both engines.
CREATE TABLE kv (
	device     TEXT        NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
	key        TEXT        {{bytewise}} NOT NULL,
	size       BIGINT      NOT NULL,
	previous   BIGINT      NOT NULL,
	created_at TIMESTAMPTZ NOT NULL,
	updated_at TIMESTAMPTZ NOT NULL,
	value      TEXT        NOT NULL,
	PRIMARY KEY (device, key)
);
CREATE INDEX kv_created ON kv (device, created_at, key);
CREATE INDEX kv_updated ON kv (device, updated_at, key);
