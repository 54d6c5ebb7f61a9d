-- What somebody wrote in the chat and has not said yet for which of their
-- conversations.
CREATE TABLE held_words (
	person     TEXT        NOT NULL,
	n          INTEGER     NOT NULL,
	content    TEXT        NOT NULL,
	media      TEXT        NOT NULL DEFAULT '',
	kind       TEXT        NOT NULL DEFAULT '',
	nonce      TEXT        NOT NULL DEFAULT '',
	created_at TIMESTAMPTZ NOT NULL,
	PRIMARY KEY (person, n)
);

-- A message of an administrator to everybody. people are the userids it goes to,
-- one a line, as they were when it was asked about; sent is how many of them it
-- has been pushed to.
CREATE TABLE broadcasts (
	id           TEXT        PRIMARY KEY,
	author       TEXT        NOT NULL,
	author_name  TEXT        NOT NULL,
	content      TEXT        NOT NULL,
	asked_at     TIMESTAMPTZ NOT NULL,
	counted_at   TIMESTAMPTZ,
	listed       BOOLEAN     NOT NULL DEFAULT FALSE,
	people       TEXT        NOT NULL DEFAULT '',
	count        INTEGER     NOT NULL DEFAULT 0,
	confirmed_at TIMESTAMPTZ,
	sent         INTEGER     NOT NULL DEFAULT 0,
	done_at      TIMESTAMPTZ
);
CREATE INDEX broadcasts_todo ON broadcasts (asked_at) WHERE done_at IS NULL;
