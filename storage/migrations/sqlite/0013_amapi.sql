-- +goose Up

-- The organization at Google, one row: what is known of it (JSON).
CREATE TABLE amapi_organization (
    id    TEXT PRIMARY KEY,
    state TEXT NOT NULL
);

-- What one server does at a time.
CREATE TABLE amapi_jobs (
    job         TEXT PRIMARY KEY,
    worker      TEXT NOT NULL,
    due_at      BIGINT NOT NULL,
    asked_at    BIGINT NOT NULL,
    lease_until BIGINT NOT NULL
);

-- The calls of a project: full_at is when the bucket is full again.
CREATE TABLE amapi_budget (
    project TEXT PRIMARY KEY,
    full_at BIGINT NOT NULL
);

-- Enrollment tokens that are good for one row of the roll.
CREATE TABLE amapi_tokens (
    id          TEXT PRIMARY KEY,
    device_id   TEXT NOT NULL,
    serial      TEXT NOT NULL,
    mode        TEXT NOT NULL,
    identified  TEXT NOT NULL,
    imei        TEXT NOT NULL,
    decision_id TEXT NOT NULL,
    nonce_hash  BLOB NOT NULL,
    name        TEXT NOT NULL,
    state       TEXT NOT NULL,
    used_by     TEXT NOT NULL,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL
);
CREATE INDEX amapi_tokens_by_device ON amapi_tokens (device_id, id);

-- Notifications. due_at 0: done, or poison. data is blank once it is done.
CREATE TABLE amapi_messages (
    id           TEXT PRIMARY KEY,
    kind         TEXT NOT NULL,
    data         BLOB NOT NULL,
    published_at BIGINT NOT NULL,
    received_at  BIGINT NOT NULL,
    state        TEXT NOT NULL,
    problem      TEXT NOT NULL,
    attempts     BIGINT NOT NULL,
    due_at       BIGINT NOT NULL,
    lease_until  BIGINT NOT NULL
);
CREATE INDEX amapi_messages_due ON amapi_messages (due_at, published_at) WHERE due_at > 0;
CREATE INDEX amapi_messages_poison ON amapi_messages (id) WHERE state = 'poison';
CREATE INDEX amapi_messages_by_age ON amapi_messages (received_at);

-- Devices at Google. event_at is the time of the newest event that counted;
-- policy_version is the one that command_id waits for.
CREATE TABLE amapi_devices (
    name            TEXT PRIMARY KEY,
    device_id       TEXT NOT NULL,
    enrollment_id   TEXT NOT NULL,
    serial          TEXT NOT NULL,
    imei            TEXT NOT NULL,
    mode            TEXT NOT NULL,
    model           TEXT NOT NULL,
    state           TEXT NOT NULL,
    code            TEXT NOT NULL,
    decision_id     TEXT NOT NULL,
    event_at        BIGINT NOT NULL,
    reported_at     BIGINT NOT NULL,
    policy          TEXT NOT NULL,
    policy_version  BIGINT NOT NULL,
    command_id      TEXT NOT NULL,
    applied         TEXT NOT NULL,
    applied_version BIGINT NOT NULL,
    complaints      TEXT NOT NULL
);
CREATE INDEX amapi_devices_by_enrollment ON amapi_devices (enrollment_id) WHERE enrollment_id <> '';
CREATE INDEX amapi_devices_by_state ON amapi_devices (state, name);
CREATE INDEX amapi_devices_by_policy ON amapi_devices (policy) WHERE state IN ('enrolled', 'quarantined');

-- Commands that Google was told of. operation is blank while its answer is not
-- known.
CREATE TABLE amapi_operations (
    command_id    TEXT PRIMARY KEY,
    enrollment_id TEXT NOT NULL,
    device        TEXT NOT NULL,
    operation     TEXT NOT NULL,
    asked_at      BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL,
    open          BOOLEAN NOT NULL
);
CREATE UNIQUE INDEX amapi_operations_by_name ON amapi_operations (operation) WHERE operation <> '';
CREATE INDEX amapi_operations_by_device ON amapi_operations (device, asked_at) WHERE operation = '';
CREATE INDEX amapi_operations_open ON amapi_operations (expires_at) WHERE open;

-- Policies at Google that devices share. hash is that of the content.
CREATE TABLE amapi_policies (
    name    TEXT PRIMARY KEY,
    hash    TEXT NOT NULL,
    version BIGINT NOT NULL
);

CREATE INDEX devices_by_fact_imei ON devices (json_extract(facts, '$.imei')) WHERE platform = 'android';
CREATE INDEX devices_by_fact_meid ON devices (json_extract(facts, '$.meid')) WHERE platform = 'android';
