-- +goose Up

-- The organization at Google, one row: what is known of it (JSON).
CREATE TABLE amapi_organization (
    id    TEXT COLLATE "C" PRIMARY KEY,
    state TEXT COLLATE "C" NOT NULL
);

-- What one server does at a time.
CREATE TABLE amapi_jobs (
    job         TEXT COLLATE "C" PRIMARY KEY,
    worker      TEXT COLLATE "C" NOT NULL,
    due_at      BIGINT NOT NULL,
    asked_at    BIGINT NOT NULL,
    lease_until BIGINT NOT NULL
);

-- The calls of a project: full_at is when the bucket is full again.
CREATE TABLE amapi_budget (
    project TEXT COLLATE "C" PRIMARY KEY,
    full_at BIGINT NOT NULL
);

-- Enrollment tokens that are good for one row of the roll.
CREATE TABLE amapi_tokens (
    id          TEXT COLLATE "C" PRIMARY KEY,
    device_id   TEXT COLLATE "C" NOT NULL,
    serial      TEXT COLLATE "C" NOT NULL,
    mode        TEXT COLLATE "C" NOT NULL,
    identified  TEXT COLLATE "C" NOT NULL,
    imei        TEXT COLLATE "C" NOT NULL,
    decision_id TEXT COLLATE "C" NOT NULL,
    nonce_hash  BYTEA NOT NULL,
    name        TEXT COLLATE "C" NOT NULL,
    state       TEXT COLLATE "C" NOT NULL,
    used_by     TEXT COLLATE "C" NOT NULL,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL
);
CREATE INDEX amapi_tokens_by_device ON amapi_tokens (device_id, id);

-- Notifications. due_at 0: done, or poison. data is blank once it is done.
CREATE TABLE amapi_messages (
    id           TEXT COLLATE "C" PRIMARY KEY,
    kind         TEXT COLLATE "C" NOT NULL,
    data         BYTEA NOT NULL,
    published_at BIGINT NOT NULL,
    received_at  BIGINT NOT NULL,
    state        TEXT COLLATE "C" NOT NULL,
    problem      TEXT COLLATE "C" NOT NULL,
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
    name            TEXT COLLATE "C" PRIMARY KEY,
    device_id       TEXT COLLATE "C" NOT NULL,
    enrollment_id   TEXT COLLATE "C" NOT NULL,
    serial          TEXT COLLATE "C" NOT NULL,
    imei            TEXT COLLATE "C" NOT NULL,
    mode            TEXT COLLATE "C" NOT NULL,
    model           TEXT COLLATE "C" NOT NULL,
    state           TEXT COLLATE "C" NOT NULL,
    code            TEXT COLLATE "C" NOT NULL,
    decision_id     TEXT COLLATE "C" NOT NULL,
    event_at        BIGINT NOT NULL,
    reported_at     BIGINT NOT NULL,
    policy          TEXT COLLATE "C" NOT NULL,
    policy_version  BIGINT NOT NULL,
    command_id      TEXT COLLATE "C" NOT NULL,
    applied         TEXT COLLATE "C" NOT NULL,
    applied_version BIGINT NOT NULL,
    complaints      TEXT COLLATE "C" NOT NULL
);
CREATE INDEX amapi_devices_by_enrollment ON amapi_devices (enrollment_id) WHERE enrollment_id <> '';
CREATE INDEX amapi_devices_by_state ON amapi_devices (state, name);
CREATE INDEX amapi_devices_by_policy ON amapi_devices (policy) WHERE state IN ('enrolled', 'quarantined');

-- Commands that Google was told of. operation is blank while its answer is not
-- known.
CREATE TABLE amapi_operations (
    command_id    TEXT COLLATE "C" PRIMARY KEY,
    enrollment_id TEXT COLLATE "C" NOT NULL,
    device        TEXT COLLATE "C" NOT NULL,
    operation     TEXT COLLATE "C" NOT NULL,
    asked_at      BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL,
    open          BOOLEAN NOT NULL
);
CREATE UNIQUE INDEX amapi_operations_by_name ON amapi_operations (operation) WHERE operation <> '';
CREATE INDEX amapi_operations_by_device ON amapi_operations (device, asked_at) WHERE operation = '';
CREATE INDEX amapi_operations_open ON amapi_operations (expires_at) WHERE open;

-- Policies at Google that devices share. hash is that of the content.
CREATE TABLE amapi_policies (
    name    TEXT COLLATE "C" PRIMARY KEY,
    hash    TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL
);

CREATE INDEX devices_by_fact_imei ON devices ((facts::jsonb ->> 'imei')) WHERE platform = 'android';
CREATE INDEX devices_by_fact_meid ON devices ((facts::jsonb ->> 'meid')) WHERE platform = 'android';
