ALTER TABLE audit ADD COLUMN chain TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN seq BIGINT NOT NULL DEFAULT 0;
ALTER TABLE audit ADD COLUMN prev_mac TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN mac TEXT NOT NULL DEFAULT '';
CREATE UNIQUE INDEX audit_chain ON audit (chain, seq) WHERE chain <> '';

CREATE TABLE audit_checkpoints (
	chain TEXT        NOT NULL,
	seq   BIGINT      NOT NULL,
	mac   TEXT        NOT NULL,
	at    TIMESTAMPTZ NOT NULL,
	proof TEXT        NOT NULL,
	PRIMARY KEY (chain, seq)
);

CREATE TABLE role_grants (
	person     TEXT        NOT NULL,
	role       TEXT        NOT NULL,
	granted_by TEXT        NOT NULL,
	granted_at TIMESTAMPTZ NOT NULL,
	PRIMARY KEY (person, role)
);

ALTER TABLE people ADD COLUMN departed_at TIMESTAMPTZ;
CREATE INDEX people_checked ON people (checked_at) WHERE state = 'active';
CREATE INDEX people_departed ON people (departed_at) WHERE departed_at IS NOT NULL;

CREATE TABLE leases (
	name   TEXT        PRIMARY KEY,
	holder TEXT        NOT NULL,
	until  TIMESTAMPTZ NOT NULL
);
