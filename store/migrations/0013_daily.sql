-- How often something happened on a day: each command by its outcome, and tries
-- to push a message. A day is one of the zone the server runs in.
CREATE TABLE daily (
	day     TEXT   NOT NULL,
	what    TEXT   NOT NULL,
	outcome TEXT   NOT NULL,
	n       BIGINT NOT NULL,
	PRIMARY KEY (day, what, outcome)
);
