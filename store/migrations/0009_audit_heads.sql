-- Where each chain of the audit trail ends, and how many chains there are.
CREATE TABLE audit_heads (
	chain TEXT   PRIMARY KEY,
	n     BIGINT NOT NULL,
	seq   BIGINT NOT NULL,
	mac   TEXT   NOT NULL,
	proof TEXT   NOT NULL
);

CREATE TABLE audit_roll (
	id    INTEGER PRIMARY KEY,
	n     BIGINT  NOT NULL,
	proof TEXT    NOT NULL
);
