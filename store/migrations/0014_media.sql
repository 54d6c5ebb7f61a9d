-- What people sent instead of words. secret is sealed with the configured key and
-- seals everything else that is theirs, so that a change of keys touches a line and
-- not the bytes. A claim is good for as long as tries is what it was.
CREATE TABLE media (
	id         TEXT        PRIMARY KEY,
	message    TEXT        NOT NULL UNIQUE,
	person     TEXT        NOT NULL,
	secret     TEXT        NOT NULL,
	media_id   TEXT        NOT NULL,
	kind       TEXT        NOT NULL,
	name       TEXT        NOT NULL,
	type       TEXT        NOT NULL DEFAULT '',
	size       BIGINT      NOT NULL DEFAULT 0,
	state      TEXT        NOT NULL,
	reason     TEXT        NOT NULL DEFAULT '',
	tries      BIGINT      NOT NULL DEFAULT 0,
	due_at     TIMESTAMPTZ NOT NULL,
	leased_to  TIMESTAMPTZ,
	error      TEXT        NOT NULL DEFAULT '',
	created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX media_due ON media (due_at) WHERE state = 'wanted';
CREATE INDEX media_created ON media (created_at);

CREATE TABLE media_parts (
	media TEXT   NOT NULL REFERENCES media (id) ON DELETE CASCADE,
	n     BIGINT NOT NULL,
	body  TEXT   NOT NULL,
	PRIMARY KEY (media, n)
);
