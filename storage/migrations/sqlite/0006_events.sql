-- +goose Up

-- The last place of a stream, and of the audit log with the hash of its last
-- entry. Who adds to one of them locks its row until the end.
CREATE TABLE heads (
    name TEXT PRIMARY KEY,
    seq  BIGINT NOT NULL,
    hash BLOB NOT NULL
);
INSERT INTO heads (name, seq, hash) VALUES ('events', 0, x''), ('audit', 0, x'');

-- seq is 0 until the event is published: places are given after the commit of
-- what it tells, so that nobody who reads in their order misses one.
CREATE TABLE events (
    id   TEXT PRIMARY KEY,
    seq  BIGINT NOT NULL,
    type TEXT NOT NULL,
    at   BIGINT NOT NULL,
    refs TEXT NOT NULL
);
CREATE UNIQUE INDEX events_by_seq ON events (seq) WHERE seq > 0;
CREATE INDEX events_new ON events (id) WHERE seq = 0;

CREATE TABLE webhooks (
    id              TEXT PRIMARY KEY,
    url             TEXT NOT NULL,
    types           TEXT NOT NULL,
    secret          BLOB NOT NULL, -- sealed
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    disabled_at     BIGINT NOT NULL,
    disabled_reason TEXT NOT NULL,
    failures        BIGINT NOT NULL, -- in a row
    failing_since   BIGINT NOT NULL,
    paused_until    BIGINT NOT NULL
);

-- due_at is when to try next, 0: finished.
CREATE TABLE webhook_deliveries (
    id          TEXT PRIMARY KEY,
    webhook_id  TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    event_id    TEXT NOT NULL,
    event_type  TEXT NOT NULL,
    state       TEXT NOT NULL,
    attempts    BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    due_at      BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    tried_at    BIGINT NOT NULL,
    status      BIGINT NOT NULL,
    error       TEXT NOT NULL
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, due_at) WHERE due_at > 0;
CREATE INDEX webhook_deliveries_by_webhook ON webhook_deliveries (webhook_id, id);

CREATE TABLE audit (
    seq         BIGINT PRIMARY KEY,
    id          TEXT NOT NULL,
    at          BIGINT NOT NULL,
    token_id    TEXT NOT NULL,
    token_name  TEXT NOT NULL,
    operation   TEXT NOT NULL,
    path        TEXT NOT NULL,
    request_id  TEXT NOT NULL,
    remote_addr TEXT NOT NULL,
    kind        TEXT NOT NULL,
    object_key  TEXT NOT NULL,
    old_value   TEXT NOT NULL,
    new_value   TEXT NOT NULL,
    hash        BLOB NOT NULL
);
CREATE INDEX audit_by_object ON audit (kind, object_key, seq);
CREATE INDEX audit_by_token ON audit (token_id, seq);
CREATE INDEX audit_by_operation ON audit (operation, seq);
CREATE INDEX audit_by_time ON audit (at, seq);

-- What was answered to a request with an Idempotency-Key. status is 0 while it
-- runs, for as long as lease_until says.
CREATE TABLE answers (
    token_id     TEXT NOT NULL,
    name         TEXT NOT NULL,
    target       TEXT NOT NULL,
    body_hash    BLOB NOT NULL,
    status       BIGINT NOT NULL,
    content_type TEXT NOT NULL,
    body         BLOB, -- sealed
    created_at   BIGINT NOT NULL,
    lease_until  BIGINT NOT NULL,
    PRIMARY KEY (token_id, name)
);
CREATE INDEX answers_by_age ON answers (created_at);
