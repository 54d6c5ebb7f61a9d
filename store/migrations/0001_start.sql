CREATE TABLE inbox (
	seq         {{serial}},
	key         TEXT        NOT NULL UNIQUE,
	person      TEXT        NOT NULL,
	message     TEXT        NOT NULL,
	reply       TEXT        NOT NULL DEFAULT '',
	pushed      BOOLEAN     NOT NULL DEFAULT FALSE,
	attempts    INTEGER     NOT NULL DEFAULT 0,
	received_at TIMESTAMPTZ NOT NULL,
	done_at     TIMESTAMPTZ
);
CREATE INDEX inbox_undone ON inbox (person, seq) WHERE done_at IS NULL;

CREATE TABLE outbox (
	id          {{serial}},
	person      TEXT        NOT NULL,
	body        TEXT        NOT NULL,
	digest      TEXT        NOT NULL,
	counts      BOOLEAN     NOT NULL,
	state       TEXT        NOT NULL,
	tries       INTEGER     NOT NULL DEFAULT 0,
	last_error  TEXT        NOT NULL DEFAULT '',
	created_at  TIMESTAMPTZ NOT NULL,
	due_at      TIMESTAMPTZ NOT NULL,
	leased_to   TIMESTAMPTZ,
	tried_at    TIMESTAMPTZ,
	first_tried TIMESTAMPTZ,
	variant     INTEGER     NOT NULL DEFAULT 0
);
CREATE INDEX outbox_pending ON outbox (person, id) WHERE state = 'pending';
CREATE INDEX outbox_pace ON outbox (person, tried_at);
CREATE INDEX outbox_dead ON outbox (id) WHERE state = 'dead';

CREATE TABLE people (
	id          TEXT        PRIMARY KEY,
	user_id     TEXT        NOT NULL,
	uid         TEXT        NOT NULL UNIQUE,
	name        TEXT        NOT NULL DEFAULT '',
	state       TEXT        NOT NULL,
	departments TEXT        NOT NULL DEFAULT '[]',
	tags        TEXT        NOT NULL DEFAULT '[]',
	checked_at  TIMESTAMPTZ NOT NULL,
	lang        TEXT        NOT NULL DEFAULT '',
	welcomed_at TIMESTAMPTZ,
	created_at  TIMESTAMPTZ NOT NULL
);

CREATE TABLE agents (
	id         TEXT        PRIMARY KEY,
	user_id    TEXT        NOT NULL,
	name       TEXT        NOT NULL,
	role       TEXT        NOT NULL,
	roles      TEXT        NOT NULL,
	status     TEXT        NOT NULL DEFAULT 'offline',
	note       TEXT        NOT NULL DEFAULT '',
	back       TEXT        NOT NULL DEFAULT '',
	until      TIMESTAMPTZ,
	max_load   INTEGER     NOT NULL,
	created_at TIMESTAMPTZ NOT NULL,
	updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX agents_until ON agents (until) WHERE until IS NOT NULL;

CREATE TABLE tokens (
	id         TEXT        PRIMARY KEY,
	hash       TEXT        NOT NULL UNIQUE,
	kind       TEXT        NOT NULL,
	person     TEXT        NOT NULL,
	family     TEXT        NOT NULL,
	source     TEXT        NOT NULL,
	otp        BOOLEAN     NOT NULL DEFAULT FALSE,
	plain      BOOLEAN     NOT NULL DEFAULT FALSE,
	created_at TIMESTAMPTZ NOT NULL,
	expires_at TIMESTAMPTZ NOT NULL,
	used_at    TIMESTAMPTZ,
	revoked_at TIMESTAMPTZ,
	revoked_by TEXT        NOT NULL DEFAULT ''
);
CREATE INDEX tokens_person ON tokens (person) WHERE revoked_at IS NULL;
CREATE INDEX tokens_family ON tokens (family);
CREATE INDEX tokens_expires ON tokens (expires_at);

CREATE TABLE audit (
	id     {{serial}},
	at     TIMESTAMPTZ NOT NULL,
	actor  TEXT        NOT NULL,
	action TEXT        NOT NULL,
	target TEXT        NOT NULL,
	result TEXT        NOT NULL,
	detail TEXT        NOT NULL
);
CREATE INDEX audit_actor ON audit (actor, id);
CREATE INDEX audit_target ON audit (target, id);
