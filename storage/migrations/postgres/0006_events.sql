-- +goose Up

-- The last place of a stream, and of the audit log with the hash of its last
-- entry. Who adds to one of them locks its row until the end.
CREATE TABLE heads (
    name TEXT COLLATE "C" PRIMARY KEY,
    seq  BIGINT NOT NULL,
    hash BYTEA NOT NULL
);
INSERT INTO heads (name, seq, hash) VALUES ('events', 0, ''), ('audit', 0, '');

-- seq is 0 until the event is published: places are given after the commit of
-- what it tells, so that nobody who reads in their order misses one.
CREATE TABLE events (
    id   TEXT COLLATE "C" PRIMARY KEY,
    seq  BIGINT NOT NULL,
    type TEXT COLLATE "C" NOT NULL,
    at   BIGINT NOT NULL,
    refs TEXT COLLATE "C" NOT NULL
);
CREATE UNIQUE INDEX events_by_seq ON events (seq) WHERE seq > 0;
CREATE INDEX events_new ON events (id) WHERE seq = 0;

CREATE TABLE webhooks (
    id              TEXT COLLATE "C" PRIMARY KEY,
    url             TEXT COLLATE "C" NOT NULL,
    types           TEXT COLLATE "C" NOT NULL,
    secret          BYTEA NOT NULL, -- sealed
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    disabled_at     BIGINT NOT NULL,
    disabled_reason TEXT COLLATE "C" NOT NULL,
    failures        BIGINT NOT NULL, -- in a row
    failing_since   BIGINT NOT NULL,
    paused_until    BIGINT NOT NULL
);

-- due_at is when to try next, 0: finished.
CREATE TABLE webhook_deliveries (
    id          TEXT COLLATE "C" PRIMARY KEY,
    webhook_id  TEXT COLLATE "C" NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    event_id    TEXT COLLATE "C" NOT NULL,
    event_type  TEXT COLLATE "C" NOT NULL,
    state       TEXT COLLATE "C" NOT NULL,
    attempts    BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    due_at      BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    tried_at    BIGINT NOT NULL,
    status      BIGINT NOT NULL,
    error       TEXT COLLATE "C" NOT NULL
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, due_at) WHERE due_at > 0;
CREATE INDEX webhook_deliveries_by_webhook ON webhook_deliveries (webhook_id, id);

CREATE TABLE audit (
    seq         BIGINT PRIMARY KEY,
    id          TEXT COLLATE "C" NOT NULL,
    at          BIGINT NOT NULL,
    token_id    TEXT COLLATE "C" NOT NULL,
    token_name  TEXT COLLATE "C" NOT NULL,
    operation   TEXT COLLATE "C" NOT NULL,
    path        TEXT COLLATE "C" NOT NULL,
    request_id  TEXT COLLATE "C" NOT NULL,
    remote_addr TEXT COLLATE "C" NOT NULL,
    kind        TEXT COLLATE "C" NOT NULL,
    object_key  TEXT COLLATE "C" NOT NULL,
    old_value   TEXT COLLATE "C" NOT NULL,
    new_value   TEXT COLLATE "C" NOT NULL,
    hash        BYTEA NOT NULL
);
CREATE INDEX audit_by_object ON audit (kind, object_key, seq);
CREATE INDEX audit_by_token ON audit (token_id, seq);
CREATE INDEX audit_by_operation ON audit (operation, seq);
CREATE INDEX audit_by_time ON audit (at, seq);

-- What was answered to a request with an Idempotency-Key. status is 0 while it
-- runs, for as long as lease_until says.
CREATE TABLE answers (
    token_id     TEXT COLLATE "C" NOT NULL,
    name         TEXT COLLATE "C" NOT NULL,
    target       TEXT COLLATE "C" NOT NULL,
    body_hash    BYTEA NOT NULL,
    status       BIGINT NOT NULL,
    content_type TEXT COLLATE "C" NOT NULL,
    body         BYTEA, -- sealed
    created_at   BIGINT NOT NULL,
    lease_until  BIGINT NOT NULL,
    PRIMARY KEY (token_id, name)
);
CREATE INDEX answers_by_age ON answers (created_at);
