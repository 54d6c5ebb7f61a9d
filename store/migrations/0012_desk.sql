-- A conversation is a helpdesk session: the contract's word for it is taken here
-- by those of people who are signed in. asker is a canonical userid, or
-- account:UID for an end user, who comes through a share. last numbers its
-- messages: whoever adds one holds the row, so that the numbers are without gaps
-- and become visible in their order.
CREATE TABLE conversations (
	id            TEXT        PRIMARY KEY,
	title         TEXT        NOT NULL,
	status        TEXT        NOT NULL,
	asker         TEXT        NOT NULL,
	asker_id      TEXT        NOT NULL,
	asker_name    TEXT        NOT NULL,
	share         TEXT        NOT NULL DEFAULT '',
	agent         TEXT        NOT NULL DEFAULT '',
	agent_id      TEXT        NOT NULL DEFAULT '',
	agent_name    TEXT        NOT NULL DEFAULT '',
	last          BIGINT      NOT NULL DEFAULT 0,
	asker_seen    BIGINT      NOT NULL DEFAULT 0,
	agent_seen    BIGINT      NOT NULL DEFAULT 0,
	asker_here    TIMESTAMPTZ,
	agent_here    TIMESTAMPTZ,
	created_at    TIMESTAMPTZ NOT NULL,
	queued_at     TIMESTAMPTZ NOT NULL,
	assigned_at   TIMESTAMPTZ,
	answered_at   TIMESTAMPTZ,
	waiting_since TIMESTAMPTZ,
	said_at       TIMESTAMPTZ NOT NULL,
	updated_at    TIMESTAMPTZ NOT NULL,
	closed_at     TIMESTAMPTZ,
	closed_by     TEXT        NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX conversations_one ON conversations (asker, share) WHERE status <> 'closed';
CREATE INDEX conversations_load ON conversations (agent) WHERE status = 'open';
CREATE INDEX conversations_queue ON conversations (queued_at, id) WHERE status = 'queued';
CREATE INDEX conversations_asker ON conversations (asker, created_at);
CREATE INDEX conversations_agent ON conversations (agent, created_at);
CREATE INDEX conversations_updated ON conversations (updated_at);
CREATE INDEX conversations_closed ON conversations (closed_at) WHERE status = 'closed';

-- nonce is the sender's own name for a message, so that sending it again adds none.
CREATE TABLE conversation_messages (
	conversation TEXT        NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
	n            BIGINT      NOT NULL,
	id           TEXT        NOT NULL UNIQUE,
	role         TEXT        NOT NULL,
	kind         TEXT        NOT NULL DEFAULT '',
	author       TEXT        NOT NULL DEFAULT '',
	name         TEXT        NOT NULL DEFAULT '',
	content      TEXT        NOT NULL,
	media        TEXT        NOT NULL DEFAULT '',
	nonce        TEXT        NOT NULL DEFAULT '',
	created_at   TIMESTAMPTZ NOT NULL,
	PRIMARY KEY (conversation, n)
);
CREATE UNIQUE INDEX conversation_messages_nonce ON conversation_messages (conversation, author, nonce) WHERE nonce <> '';
CREATE INDEX conversation_messages_media ON conversation_messages (media) WHERE media <> '';

-- assigned_at: when the agent last got a conversation; current: the one that what
-- they write in the chat goes to, chosen at chosen_at. A choice from before they
-- were given the conversation, or given it back, counts no more.
ALTER TABLE agents ADD COLUMN assigned_at TIMESTAMPTZ;
ALTER TABLE agents ADD COLUMN own_load    BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE agents ADD COLUMN current     TEXT NOT NULL DEFAULT '';
ALTER TABLE agents ADD COLUMN chosen_at   TIMESTAMPTZ;

-- What allows one update of a card that was delivered, sealed; and, of a card that
-- was made while an earlier one was on its way, the id of that one.
ALTER TABLE outbox ADD COLUMN response_code TEXT   NOT NULL DEFAULT '';
ALTER TABLE outbox ADD COLUMN updates       BIGINT NOT NULL DEFAULT 0;
