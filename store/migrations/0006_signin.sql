CREATE TABLE signins (
	state      TEXT        PRIMARY KEY,
	browser    TEXT        NOT NULL,
	next       TEXT        NOT NULL,
	expires_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX signins_expires ON signins (expires_at);
