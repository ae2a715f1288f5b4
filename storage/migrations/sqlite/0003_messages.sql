-- +goose Up

-- A request has a secret for each link that was made for it, and all are good.
CREATE TABLE request_secrets (
    hash       BLOB PRIMARY KEY,
    request_id TEXT NOT NULL REFERENCES requests (id) ON DELETE CASCADE
);
CREATE INDEX request_secrets_by_request ON request_secrets (request_id);
INSERT INTO request_secrets (hash, request_id) SELECT secret_hash, id FROM requests;
DROP INDEX requests_by_secret;
ALTER TABLE requests DROP COLUMN secret_hash;

ALTER TABLE requests ADD COLUMN via TEXT NOT NULL DEFAULT 'link';
ALTER TABLE requests ADD COLUMN problem TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN reminded_at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX requests_by_state ON requests (state, id);

-- due_at is when the next attempt is wanted, 0: never again. attempts counts
-- claims; a worker that finds another number has lost its lease.
CREATE TABLE messages (
    id          TEXT PRIMARY KEY,
    request_id  TEXT NOT NULL REFERENCES requests (id) ON DELETE CASCADE,
    kind        TEXT NOT NULL,
    via         TEXT NOT NULL,
    secret      BLOB, -- sealed; NULL when finished
    created_at  BIGINT NOT NULL,
    due_at      BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    attempts    BIGINT NOT NULL,
    error       TEXT NOT NULL,
    sent_at     BIGINT NOT NULL,
    finished_at BIGINT NOT NULL
);
CREATE INDEX messages_due ON messages (via, due_at) WHERE due_at > 0;
CREATE INDEX messages_by_request ON messages (request_id, id);
