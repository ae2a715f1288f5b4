-- +goose Up

-- What a device speaks: apple, agent (docs/android-agent.md), or amapi. Each
-- protocol's waker claims its own pushes.
ALTER TABLE enrollments ADD COLUMN protocol TEXT COLLATE "C" NOT NULL DEFAULT 'apple';
ALTER TABLE pushes ADD COLUMN protocol TEXT COLLATE "C" NOT NULL DEFAULT 'apple';
DROP INDEX pushes_due;
CREATE INDEX pushes_due ON pushes (protocol, due_at) WHERE due_at > 0;

-- max_uses 0: no limit; expires_at 0: never.
CREATE TABLE enrollment_tokens (
    id           TEXT COLLATE "C" PRIMARY KEY,
    hash         BYTEA NOT NULL,
    name         TEXT COLLATE "C" NOT NULL,
    max_uses     BIGINT NOT NULL,
    uses         BIGINT NOT NULL,
    ownership    TEXT COLLATE "C" NOT NULL,
    group_name   TEXT COLLATE "C" NOT NULL,
    user_id      TEXT COLLATE "C" NOT NULL,
    device_id    TEXT COLLATE "C" NOT NULL,
    request_id   TEXT COLLATE "C" NOT NULL,
    created_by   TEXT COLLATE "C" NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    revoked_at   BIGINT NOT NULL
);
CREATE UNIQUE INDEX enrollment_tokens_by_hash ON enrollment_tokens (hash);
CREATE INDEX enrollment_tokens_by_request ON enrollment_tokens (request_id) WHERE request_id <> '';

-- What the agent protocol keeps of an enrollment. counter is the last one of a
-- signed request.
CREATE TABLE agents (
    enrollment_id TEXT COLLATE "C" PRIMARY KEY,
    public_key    BYTEA NOT NULL,
    counter       BIGINT NOT NULL,
    token_id      TEXT COLLATE "C" NOT NULL,
    push_id       TEXT COLLATE "C" NOT NULL
) WITH (fillfactor = 80);

-- Nonces that were used, until they would have ended by themselves.
CREATE TABLE agent_nonces (
    hash       BYTEA PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
CREATE INDEX agent_nonces_by_age ON agent_nonces (expires_at);
