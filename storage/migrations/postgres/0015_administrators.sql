-- +goose Up

-- Who made a change, or a request that can be repeated: a token, an
-- administrator, or the server itself.
ALTER TABLE audit RENAME COLUMN token_id TO actor_id;
ALTER TABLE audit RENAME COLUMN token_name TO actor_name;
ALTER TABLE audit ADD COLUMN actor_kind TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE answers RENAME COLUMN token_id TO caller_id;
DROP INDEX audit_by_token;
CREATE INDEX audit_by_actor ON audit (actor_id, seq);

-- People who sign in to the console. password is an argon2id hash with its
-- parameters; empty: there is none. totp is the key of the second factor, and
-- totp_new one that no code has confirmed yet; NULL: there is none. totp_step is
-- the time step of the last code that was used.
CREATE TABLE administrators (
    id              TEXT COLLATE "C" PRIMARY KEY,
    email           TEXT COLLATE "C" NOT NULL,
    name            TEXT COLLATE "C" NOT NULL,
    role            TEXT COLLATE "C" NOT NULL,
    time_zone       TEXT COLLATE "C" NOT NULL,
    theme           TEXT COLLATE "C" NOT NULL,
    password        TEXT COLLATE "C" NOT NULL,
    invitation_hash BYTEA, -- of the link with which a password is chosen
    invited_until   BIGINT NOT NULL,
    totp            BYTEA, -- sealed
    totp_new        BYTEA, -- sealed
    totp_step       BIGINT NOT NULL,
    recovery_codes  TEXT COLLATE "C" NOT NULL, -- hashes, as JSON
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    last_seen_at    BIGINT NOT NULL,
    disabled_at     BIGINT NOT NULL,
    version         BIGINT NOT NULL
);
CREATE UNIQUE INDEX administrators_by_email ON administrators (email);
CREATE UNIQUE INDEX administrators_by_invitation ON administrators (invitation_hash);

-- Signed-in browsers.
CREATE TABLE console_sessions (
    id               TEXT COLLATE "C" PRIMARY KEY,
    hash             BYTEA NOT NULL,
    administrator_id TEXT COLLATE "C" NOT NULL REFERENCES administrators (id) ON DELETE CASCADE,
    created_at       BIGINT NOT NULL,
    seen_at          BIGINT NOT NULL,
    expires_at       BIGINT NOT NULL,
    address          TEXT COLLATE "C" NOT NULL,
    user_agent       TEXT COLLATE "C" NOT NULL,
    method           TEXT COLLATE "C" NOT NULL
);
CREATE UNIQUE INDEX console_sessions_by_hash ON console_sessions (hash);
CREATE INDEX console_sessions_by_administrator ON console_sessions (administrator_id, id);
CREATE INDEX console_sessions_by_age ON console_sessions (expires_at);

-- Failed sign-ins, by a hash of what they are counted for: an e-mail address or
-- a remote address. Nobody gets a try before blocked_until.
CREATE TABLE console_failures (
    source        TEXT COLLATE "C" PRIMARY KEY,
    failures      BIGINT NOT NULL,
    failed_at     BIGINT NOT NULL,
    blocked_until BIGINT NOT NULL
);
CREATE INDEX console_failures_by_age ON console_failures (failed_at);

-- The code with which the first administrator is made; one row at most.
CREATE TABLE console_setup (
    one        BIGINT PRIMARY KEY CHECK (one = 1),
    hash       BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);

-- Saved views of the list of devices.
CREATE TABLE device_views (
    id         TEXT COLLATE "C" PRIMARY KEY,
    owner_id   TEXT COLLATE "C" NOT NULL, -- administrator or token
    name       TEXT COLLATE "C" NOT NULL,
    query      TEXT COLLATE "C" NOT NULL,
    shared     BOOLEAN NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX device_views_by_name ON device_views (owner_id, name);
CREATE INDEX device_views_shared ON device_views (name) WHERE shared;
