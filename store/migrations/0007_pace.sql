-- Counting a person's latest pushes reads the index alone.
DROP INDEX outbox_pace;
CREATE INDEX outbox_pace ON outbox (person, tried_at, tries) WHERE counts;
