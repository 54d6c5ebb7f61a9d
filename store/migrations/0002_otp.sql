CREATE TABLE otp (
	person     TEXT        PRIMARY KEY,
	state      TEXT        NOT NULL,
	secret     TEXT        NOT NULL DEFAULT '',
	last_step  BIGINT      NOT NULL DEFAULT 0,
	failures   INTEGER     NOT NULL DEFAULT 0,
	locked_to  TIMESTAMPTZ,
	expires_at TIMESTAMPTZ,
	qr         TEXT        NOT NULL DEFAULT '',
	changed_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX otp_pending ON otp (expires_at) WHERE state = 'pending';

CREATE TABLE recovery_codes (
	person TEXT    NOT NULL,
	n      INTEGER NOT NULL,
	hash   TEXT    NOT NULL,
	PRIMARY KEY (person, n)
);

ALTER TABLE outbox ADD COLUMN ref     TEXT NOT NULL DEFAULT '';
ALTER TABLE outbox ADD COLUMN recalls TEXT NOT NULL DEFAULT '';
ALTER TABLE outbox ADD COLUMN msg_id  TEXT NOT NULL DEFAULT '';
CREATE INDEX outbox_ref ON outbox (ref) WHERE ref <> '';
