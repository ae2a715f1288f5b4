-- +goose Up

CREATE TABLE users (
    id         TEXT COLLATE "C" PRIMARY KEY,
    domain     TEXT COLLATE "C" NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    email      TEXT COLLATE "C" NOT NULL,
    mobile     TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX users_by_email ON users (email, domain);

CREATE TABLE devices (
    id            TEXT COLLATE "C" PRIMARY KEY,
    serial        TEXT COLLATE "C" NOT NULL,
    serial_raw    TEXT COLLATE "C" NOT NULL,
    platform      TEXT COLLATE "C" NOT NULL,
    ownership     TEXT COLLATE "C" NOT NULL,
    name          TEXT COLLATE "C" NOT NULL,
    name_key      TEXT COLLATE "C" NOT NULL,
    user_id       TEXT COLLATE "C" NOT NULL,
    state         TEXT COLLATE "C" NOT NULL,
    facts         TEXT COLLATE "C" NOT NULL,
    sources       TEXT COLLATE "C" NOT NULL,
    asset_tag     TEXT COLLATE "C" NOT NULL,
    tags          TEXT COLLATE "C" NOT NULL,
    notes         TEXT COLLATE "C" NOT NULL,
    not_before    BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL,
    max_uses      BIGINT NOT NULL,
    uses          BIGINT NOT NULL,
    blocked_at    BIGINT NOT NULL,
    block_reason  TEXT COLLATE "C" NOT NULL,
    enrollment_id TEXT COLLATE "C" NOT NULL,
    accepted_at   BIGINT NOT NULL,
    enrolled_at   BIGINT NOT NULL,
    last_seen_at  BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL,
    version       BIGINT NOT NULL
) WITH (fillfactor = 85);
CREATE UNIQUE INDEX devices_by_serial ON devices (serial);
CREATE INDEX devices_by_state ON devices (state, serial);
CREATE INDEX devices_by_platform ON devices (platform, serial);
CREATE INDEX devices_by_name ON devices (name_key, serial) WHERE name_key <> '';
CREATE INDEX devices_by_user ON devices (user_id, serial) WHERE user_id <> '';
CREATE INDEX devices_blocked ON devices (serial) WHERE blocked_at > 0;

CREATE TABLE imports (
    id         TEXT COLLATE "C" PRIMARY KEY,
    file_name  TEXT COLLATE "C" NOT NULL,
    sha256     TEXT COLLATE "C" NOT NULL,
    domain     TEXT COLLATE "C" NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    all_rows   BIGINT NOT NULL,
    new_rows   BIGINT NOT NULL,
    changed    BIGINT NOT NULL,
    unchanged  BIGINT NOT NULL,
    users_new  BIGINT NOT NULL
);

CREATE TABLE device_groups (
    id         TEXT COLLATE "C" PRIMARY KEY,
    name       TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX device_groups_by_name ON device_groups (name);

CREATE TABLE memberships (
    group_id  TEXT COLLATE "C" NOT NULL REFERENCES device_groups (id) ON DELETE CASCADE,
    device_id TEXT COLLATE "C" NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, device_id)
);
CREATE INDEX memberships_by_device ON memberships (device_id);

CREATE TABLE settings (
    name       TEXT COLLATE "C" PRIMARY KEY,
    value      TEXT COLLATE "C" NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE requests (
    id          TEXT COLLATE "C" PRIMARY KEY,
    device_id   TEXT COLLATE "C" NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    user_id     TEXT COLLATE "C" NOT NULL,
    secret_hash BYTEA NOT NULL,
    state       TEXT COLLATE "C" NOT NULL,
    ownership   TEXT COLLATE "C" NOT NULL,
    created_by  TEXT COLLATE "C" NOT NULL,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    opened_at   BIGINT NOT NULL,
    accepted_at BIGINT NOT NULL,
    closed_at   BIGINT NOT NULL
);
CREATE UNIQUE INDEX requests_by_secret ON requests (secret_hash);
CREATE INDEX requests_by_device ON requests (device_id, id);
CREATE INDEX requests_open ON requests (expires_at) WHERE closed_at = 0;

CREATE TABLE decisions (
    id          TEXT COLLATE "C" PRIMARY KEY,
    at          BIGINT NOT NULL,
    channel     TEXT COLLATE "C" NOT NULL,
    platform    TEXT COLLATE "C" NOT NULL,
    serial      TEXT COLLATE "C" NOT NULL,
    evidence    TEXT COLLATE "C" NOT NULL,
    facts       TEXT COLLATE "C" NOT NULL,
    mode        TEXT COLLATE "C" NOT NULL,
    outcome     TEXT COLLATE "C" NOT NULL,
    code        TEXT COLLATE "C" NOT NULL,
    enforced    TEXT COLLATE "C" NOT NULL,
    device_id   TEXT COLLATE "C" NOT NULL,
    request_id  TEXT COLLATE "C" NOT NULL,
    trace       TEXT COLLATE "C" NOT NULL,
    remote_addr TEXT COLLATE "C" NOT NULL
);
CREATE INDEX decisions_by_serial ON decisions (serial, id);
CREATE INDEX decisions_by_outcome ON decisions (outcome, id);
CREATE INDEX decisions_by_code ON decisions (code, id);

CREATE TABLE policies (
    id          TEXT COLLATE "C" PRIMARY KEY,
    name        TEXT COLLATE "C" NOT NULL,
    version     BIGINT NOT NULL,
    device_name TEXT COLLATE "C" NOT NULL,
    profiles    BYTEA NOT NULL, -- sealed
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);
CREATE UNIQUE INDEX policies_by_name ON policies (name);

-- A binding names a group or a device; its id gives the order of binding.
CREATE TABLE bindings (
    id        TEXT COLLATE "C" NOT NULL,
    policy_id TEXT COLLATE "C" NOT NULL REFERENCES policies (id) ON DELETE CASCADE,
    group_id  TEXT COLLATE "C" NOT NULL,
    device_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (policy_id, group_id, device_id)
);
CREATE INDEX bindings_by_group ON bindings (group_id) WHERE group_id <> '';
CREATE INDEX bindings_by_device ON bindings (device_id) WHERE device_id <> '';

-- A device channel has parent_id '' and user_id ''; a user channel names both.
CREATE TABLE enrollments (
    id               TEXT COLLATE "C" PRIMARY KEY,
    device_id        TEXT COLLATE "C" NOT NULL,
    parent_id        TEXT COLLATE "C" NOT NULL,
    udid             TEXT COLLATE "C" NOT NULL,
    user_id          TEXT COLLATE "C" NOT NULL,
    state            TEXT COLLATE "C" NOT NULL,
    fingerprint      TEXT COLLATE "C" NOT NULL,
    next_fingerprint TEXT COLLATE "C" NOT NULL,
    topic            TEXT COLLATE "C" NOT NULL,
    token            BYTEA,
    push_magic       TEXT COLLATE "C" NOT NULL,
    awaiting         BOOLEAN NOT NULL,
    unlock_token     BYTEA, -- sealed
    bootstrap_token  BYTEA, -- sealed
    decision_id      TEXT COLLATE "C" NOT NULL,
    request_id       TEXT COLLATE "C" NOT NULL,
    command_seq      BIGINT NOT NULL,
    authenticated_at BIGINT NOT NULL,
    enrolled_at      BIGINT NOT NULL,
    last_seen_at     BIGINT NOT NULL,
    push_inactive_at BIGINT NOT NULL,
    ended_at         BIGINT NOT NULL
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX enrollments_by_fingerprint ON enrollments (fingerprint, user_id) WHERE ended_at = 0;
CREATE UNIQUE INDEX enrollments_by_next_fingerprint ON enrollments (next_fingerprint, user_id) WHERE ended_at = 0 AND next_fingerprint <> '';
CREATE UNIQUE INDEX enrollments_current ON enrollments (device_id, user_id) WHERE ended_at = 0;
CREATE INDEX enrollments_by_udid ON enrollments (udid) WHERE ended_at = 0;
CREATE INDEX enrollments_by_device ON enrollments (device_id, id);
CREATE INDEX enrollments_history ON enrollments (fingerprint, id);

-- handed_at is the last hand-out while the answer is outstanding, else 0: at
-- most one open command of an enrollment has it. deferred is the NotNow mark
-- of the running session, not_now that NotNow was the last answer.
CREATE TABLE commands (
    enrollment_id TEXT COLLATE "C" NOT NULL,
    seq           BIGINT NOT NULL,
    id            TEXT COLLATE "C" NOT NULL,
    request_type  TEXT COLLATE "C" NOT NULL,
    body          BYTEA NOT NULL, -- sealed
    state         TEXT COLLATE "C" NOT NULL,
    deferred      BOOLEAN NOT NULL,
    not_now       BOOLEAN NOT NULL,
    attempts      BIGINT NOT NULL,
    error         TEXT COLLATE "C" NOT NULL,
    result        BYTEA, -- sealed
    queued_at     BIGINT NOT NULL,
    sent_at       BIGINT NOT NULL,
    handed_at     BIGINT NOT NULL,
    finished_at   BIGINT NOT NULL,
    PRIMARY KEY (enrollment_id, seq)
) WITH (fillfactor = 70); -- room for the hand-out to stay in its page
CREATE UNIQUE INDEX commands_by_id ON commands (id);
CREATE INDEX commands_open ON commands (enrollment_id, seq) WHERE finished_at = 0;

CREATE TABLE delivered (
    enrollment_id TEXT COLLATE "C" NOT NULL,
    item_key      TEXT COLLATE "C" NOT NULL,
    title         TEXT COLLATE "C" NOT NULL,
    hash          TEXT COLLATE "C" NOT NULL,
    removal       BOOLEAN NOT NULL,
    command_id    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (enrollment_id, item_key)
);

-- due_at is since when a plan is wanted, 0: not; planned is the generation the
-- last committed plan was made for.
CREATE TABLE deliveries (
    device_id   TEXT COLLATE "C" PRIMARY KEY,
    generation  BIGINT NOT NULL,
    planned     BIGINT NOT NULL,
    due_at      BIGINT NOT NULL,
    lease_until BIGINT NOT NULL
);
CREATE INDEX deliveries_due ON deliveries (due_at) WHERE due_at > 0;

CREATE TABLE pushes (
    enrollment_id TEXT COLLATE "C" PRIMARY KEY,
    generation    BIGINT NOT NULL,
    due_at        BIGINT NOT NULL,
    lease_until   BIGINT NOT NULL,
    attempts      BIGINT NOT NULL,
    pushed_at     BIGINT NOT NULL,
    reason        TEXT COLLATE "C" NOT NULL
);
CREATE INDEX pushes_due ON pushes (due_at) WHERE due_at > 0;

CREATE TABLE secrets (
    name       TEXT COLLATE "C" PRIMARY KEY,
    value      BYTEA NOT NULL, -- sealed
    updated_at BIGINT NOT NULL
);

CREATE TABLE challenges (
    hash        BYTEA PRIMARY KEY,
    binding     TEXT COLLATE "C" NOT NULL,
    expires_at  BIGINT NOT NULL,
    used_at     BIGINT NOT NULL,
    used_by_key BYTEA,
    fingerprint TEXT COLLATE "C" NOT NULL
);

CREATE TABLE identities (
    fingerprint TEXT COLLATE "C" PRIMARY KEY,
    der         BYTEA NOT NULL,
    key_hash    BYTEA NOT NULL,
    binding     TEXT COLLATE "C" NOT NULL,
    renews      TEXT COLLATE "C" NOT NULL,
    issued_at   BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    revoked_at  BIGINT NOT NULL
);

CREATE TABLE tokens (
    id           TEXT COLLATE "C" PRIMARY KEY,
    name         TEXT COLLATE "C" NOT NULL,
    role         TEXT COLLATE "C" NOT NULL,
    hash         BYTEA NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    revoked_at   BIGINT NOT NULL
);
CREATE UNIQUE INDEX tokens_by_hash ON tokens (hash);
