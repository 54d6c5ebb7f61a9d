-- What an agent says so often that they keep it, for the page of the desk.
CREATE TABLE canned (
	id         TEXT        PRIMARY KEY,
	agent      TEXT        NOT NULL,
	title      TEXT        NOT NULL,
	text       TEXT        NOT NULL,
	created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX canned_agent ON canned (agent, created_at);
