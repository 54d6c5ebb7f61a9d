CREATE TABLE passwords (
	person     TEXT        PRIMARY KEY,
	hash       TEXT        NOT NULL,
	changed_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE logins (
	id          TEXT        PRIMARY KEY,
	hash        TEXT        NOT NULL UNIQUE,
	person      TEXT        NOT NULL,
	number      TEXT        NOT NULL,
	code        TEXT        NOT NULL,
	device      TEXT        NOT NULL,
	address     TEXT        NOT NULL,
	state       TEXT        NOT NULL,
	task_id     TEXT        NOT NULL DEFAULT '',
	created_at  TIMESTAMPTZ NOT NULL,
	expires_at  TIMESTAMPTZ NOT NULL,
	decided_at  TIMESTAMPTZ,
	taken_at    TIMESTAMPTZ
);
CREATE INDEX logins_expires ON logins (expires_at);

CREATE TABLE login_prompts (
	person TEXT        PRIMARY KEY,
	last1  TIMESTAMPTZ NOT NULL,
	last2  TIMESTAMPTZ,
	last3  TIMESTAMPTZ
);
CREATE INDEX login_prompts_last1 ON login_prompts (last1);
