-- +goose Up

CREATE TABLE users (
    id         TEXT PRIMARY KEY,
    domain     TEXT NOT NULL,
    name       TEXT NOT NULL,
    email      TEXT NOT NULL,
    mobile     TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    language   TEXT NOT NULL
);
CREATE UNIQUE INDEX users_by_email ON users (email, domain);
CREATE INDEX users_by_domain ON users (domain, email);

-- effective and what follows it is what lists and rule groups look at. It follows
-- from the row and its owner and is written with the row. model, product and imei
-- are blank until the user has accepted.
CREATE TABLE devices (
    id            TEXT PRIMARY KEY,
    serial        TEXT NOT NULL,
    serial_raw    TEXT NOT NULL,
    platform      TEXT NOT NULL,
    ownership     TEXT NOT NULL,
    name          TEXT NOT NULL,
    name_key      TEXT NOT NULL,
    user_id       TEXT NOT NULL,
    state         TEXT NOT NULL,
    facts         TEXT NOT NULL,
    sources       TEXT NOT NULL,
    asset_tag     TEXT NOT NULL,
    tags          TEXT NOT NULL,
    notes         TEXT NOT NULL,
    not_before    BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL,
    max_uses      BIGINT NOT NULL,
    uses          BIGINT NOT NULL,
    blocked_at    BIGINT NOT NULL,
    block_reason  TEXT NOT NULL,
    enrollment_id TEXT NOT NULL,
    accepted_at   BIGINT NOT NULL,
    enrolled_at   BIGINT NOT NULL,
    last_seen_at  BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL,
    version       BIGINT NOT NULL,
    effective     TEXT NOT NULL,
    source        TEXT NOT NULL,
    domain        TEXT NOT NULL,
    email         TEXT NOT NULL,
    user_key      TEXT NOT NULL,
    model         TEXT NOT NULL,
    product       TEXT NOT NULL,
    imei          TEXT NOT NULL,
    asset_key     TEXT NOT NULL
);
CREATE UNIQUE INDEX devices_by_serial ON devices (serial);
CREATE INDEX devices_by_platform ON devices (platform, serial);
CREATE INDEX devices_by_user ON devices (user_id, serial) WHERE user_id <> '';
-- For the number of devices a user has enrolled or is about to.
CREATE INDEX devices_enrolled_by_user ON devices (user_id) WHERE state IN ('enrolled', 'enrolling') AND user_id <> '';
CREATE INDEX devices_by_effective ON devices (effective, serial);
CREATE INDEX devices_by_ownership ON devices (ownership, serial);
CREATE INDEX devices_by_source ON devices (source, serial);
CREATE INDEX devices_by_name ON devices (name_key, serial);
CREATE INDEX devices_by_updated ON devices (updated_at, serial);
CREATE INDEX devices_by_enrolled ON devices (enrolled_at, serial);
CREATE INDEX devices_by_domain ON devices (domain, serial) WHERE domain <> '';
CREATE INDEX devices_by_email ON devices (email, serial) WHERE email <> '';
CREATE INDEX devices_by_user_name ON devices (user_key, serial) WHERE user_key <> '';
CREATE INDEX devices_by_model ON devices (model, serial) WHERE model <> '';
CREATE INDEX devices_by_imei ON devices (imei, serial) WHERE imei <> '';
CREATE INDEX devices_by_asset ON devices (asset_key, serial) WHERE asset_key <> '';
CREATE INDEX devices_expiring ON devices (expires_at, serial) WHERE expires_at > 0;

-- fingerprint is a hash of the file and all options. lease_until is 0 where
-- no worker has the import.
CREATE TABLE imports (
    id            TEXT PRIMARY KEY,
    state         TEXT NOT NULL,
    file_name     TEXT NOT NULL,
    size          BIGINT NOT NULL,
    sha256        TEXT NOT NULL,
    fingerprint   TEXT NOT NULL,
    lines         BIGINT NOT NULL,
    nature        TEXT NOT NULL,
    options       TEXT NOT NULL,
    charset       TEXT NOT NULL,
    delimiter     TEXT NOT NULL,
    file_columns  TEXT NOT NULL,
    counts        TEXT NOT NULL,
    done          BIGINT NOT NULL,
    stale         BIGINT NOT NULL,
    problem       TEXT NOT NULL,
    created_by    TEXT NOT NULL,
    created_at    BIGINT NOT NULL,
    planned_at    BIGINT NOT NULL,
    applied_by    TEXT NOT NULL,
    applied_at    BIGINT NOT NULL,
    reverted_by   TEXT NOT NULL,
    reverted_at   BIGINT NOT NULL,
    reverted      TEXT NOT NULL,
    worker        TEXT NOT NULL,
    lease_until   BIGINT NOT NULL
);
CREATE INDEX imports_by_fingerprint ON imports (fingerprint);
CREATE INDEX imports_open ON imports (id) WHERE state IN ('uploading', 'uploaded', 'planning', 'applying', 'reverting');

-- The file in compressed parts.
CREATE TABLE import_chunks (
    import_id TEXT NOT NULL REFERENCES imports (id) ON DELETE CASCADE,
    seq       BIGINT NOT NULL,
    data      BLOB NOT NULL,
    PRIMARY KEY (import_id, seq)
);

-- The plan, a row for each line. base is the version of the device it was made
-- against; old and fresh are the row of devices before and after (JSON), empty
-- where the device is not written.
CREATE TABLE import_rows (
    import_id TEXT NOT NULL REFERENCES imports (id) ON DELETE CASCADE,
    line      BIGINT NOT NULL,
    action    TEXT NOT NULL,
    serial    TEXT NOT NULL,
    email     TEXT NOT NULL,
    device_id TEXT NOT NULL,
    base      BIGINT NOT NULL,
    old       TEXT NOT NULL,
    fresh     TEXT NOT NULL,
    detail    TEXT NOT NULL,
    warned    BOOLEAN NOT NULL,
    revert    TEXT NOT NULL,
    PRIMARY KEY (import_id, line)
);
CREATE INDEX import_rows_by_action ON import_rows (import_id, action, line);

-- The users of a plan; base is updated_at of the user it was made against.
CREATE TABLE import_users (
    import_id TEXT NOT NULL REFERENCES imports (id) ON DELETE CASCADE,
    email     TEXT NOT NULL,
    user_id   TEXT NOT NULL,
    base      BIGINT NOT NULL,
    old       TEXT NOT NULL,
    fresh     TEXT NOT NULL,
    PRIMARY KEY (import_id, email)
);

-- What a plan adds to devices, or takes from them: groups and policies by name.
CREATE TABLE import_links (
    import_id TEXT NOT NULL REFERENCES imports (id) ON DELETE CASCADE,
    line      BIGINT NOT NULL,
    kind      TEXT NOT NULL,
    name      TEXT NOT NULL,
    device_id TEXT NOT NULL,
    adding    BOOLEAN NOT NULL,
    PRIMARY KEY (import_id, line, kind, name)
);

CREATE TABLE import_presets (
    name       TEXT PRIMARY KEY,
    preset     TEXT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- A rule group has a rule (JSON). Its evaluation over the devices that were
-- there before has come to evaluated_to, an ID; generation grows with each
-- change of the rule.
CREATE TABLE device_groups (
    id             TEXT PRIMARY KEY,
    name           TEXT NOT NULL,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    rule           TEXT NOT NULL DEFAULT '',
    generation     BIGINT NOT NULL DEFAULT 0,
    evaluating     BOOLEAN NOT NULL DEFAULT FALSE,
    evaluated_to   TEXT NOT NULL DEFAULT '',
    evaluated      BIGINT NOT NULL DEFAULT 0,
    evaluate_total BIGINT NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX device_groups_by_name ON device_groups (name);

CREATE TABLE memberships (
    group_id  TEXT NOT NULL REFERENCES device_groups (id) ON DELETE CASCADE,
    device_id TEXT NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    serial    TEXT NOT NULL,
    PRIMARY KEY (group_id, device_id)
);
CREATE INDEX memberships_by_device ON memberships (device_id);
CREATE INDEX memberships_by_serial ON memberships (group_id, serial);

CREATE TABLE settings (
    name       TEXT PRIMARY KEY,
    value      TEXT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE requests (
    id          TEXT PRIMARY KEY,
    device_id   TEXT NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    user_id     TEXT NOT NULL,
    state       TEXT NOT NULL,
    ownership   TEXT NOT NULL,
    created_by  TEXT NOT NULL,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    opened_at   BIGINT NOT NULL,
    accepted_at BIGINT NOT NULL,
    closed_at   BIGINT NOT NULL,
    via         TEXT NOT NULL,
    problem     TEXT NOT NULL,
    reminded_at BIGINT NOT NULL
);
CREATE INDEX requests_by_device ON requests (device_id, id);
CREATE INDEX requests_open ON requests (expires_at) WHERE closed_at = 0;
CREATE INDEX requests_by_state ON requests (state, id);

CREATE TABLE decisions (
    id              TEXT PRIMARY KEY,
    at              BIGINT NOT NULL,
    channel         TEXT NOT NULL,
    platform        TEXT NOT NULL,
    serial          TEXT NOT NULL,
    evidence        TEXT NOT NULL,
    facts           TEXT NOT NULL,
    mode            TEXT NOT NULL,
    outcome         TEXT NOT NULL,
    code            TEXT NOT NULL,
    enforced        TEXT NOT NULL,
    device_id       TEXT NOT NULL,
    request_id      TEXT NOT NULL,
    trace           TEXT NOT NULL,
    remote_addr     TEXT NOT NULL,
    near_misses     TEXT NOT NULL DEFAULT 'null',
    repaired_at     BIGINT NOT NULL DEFAULT 0,
    repaired_by     TEXT NOT NULL DEFAULT '',
    repaired_serial TEXT NOT NULL DEFAULT ''
);
CREATE INDEX decisions_by_serial ON decisions (serial, id);
CREATE INDEX decisions_by_outcome ON decisions (outcome, id);
CREATE INDEX decisions_by_code ON decisions (code, id);
CREATE INDEX decisions_by_age ON decisions (at, id);
CREATE INDEX decisions_by_time ON decisions (serial, at, id);

CREATE TABLE policies (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    version     BIGINT NOT NULL,
    device_name TEXT NOT NULL,
    profiles    BLOB NOT NULL, -- sealed
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);
CREATE UNIQUE INDEX policies_by_name ON policies (name);

-- A binding names a group or a device; its id gives the order of binding.
CREATE TABLE bindings (
    id        TEXT NOT NULL,
    policy_id TEXT NOT NULL REFERENCES policies (id) ON DELETE CASCADE,
    group_id  TEXT NOT NULL,
    device_id TEXT NOT NULL,
    PRIMARY KEY (policy_id, group_id, device_id)
);
CREATE INDEX bindings_by_group ON bindings (group_id) WHERE group_id <> '';
CREATE INDEX bindings_by_device ON bindings (device_id) WHERE device_id <> '';

-- A device channel has parent_id '' and user_id ''; a user channel names both.
-- disenroll_id is the command that removes the enrollment profile; its success
-- ends the enrollment.
CREATE TABLE enrollments (
    id               TEXT PRIMARY KEY,
    device_id        TEXT NOT NULL,
    parent_id        TEXT NOT NULL,
    udid             TEXT NOT NULL,
    user_id          TEXT NOT NULL,
    state            TEXT NOT NULL,
    fingerprint      TEXT NOT NULL,
    next_fingerprint TEXT NOT NULL,
    topic            TEXT NOT NULL,
    token            BLOB,
    push_magic       TEXT NOT NULL,
    awaiting         BOOLEAN NOT NULL,
    unlock_token     BLOB, -- sealed
    bootstrap_token  BLOB, -- sealed
    decision_id      TEXT NOT NULL,
    request_id       TEXT NOT NULL,
    command_seq      BIGINT NOT NULL,
    authenticated_at BIGINT NOT NULL,
    enrolled_at      BIGINT NOT NULL,
    last_seen_at     BIGINT NOT NULL,
    push_inactive_at BIGINT NOT NULL,
    ended_at         BIGINT NOT NULL,
    disenroll_id     TEXT NOT NULL DEFAULT ''
);
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
    enrollment_id TEXT NOT NULL,
    seq           BIGINT NOT NULL,
    id            TEXT NOT NULL,
    request_type  TEXT NOT NULL,
    body          BLOB NOT NULL, -- sealed
    state         TEXT NOT NULL,
    deferred      BOOLEAN NOT NULL,
    not_now       BOOLEAN NOT NULL,
    attempts      BIGINT NOT NULL,
    error         TEXT NOT NULL,
    result        BLOB, -- sealed
    queued_at     BIGINT NOT NULL,
    sent_at       BIGINT NOT NULL,
    handed_at     BIGINT NOT NULL,
    finished_at   BIGINT NOT NULL,
    PRIMARY KEY (enrollment_id, seq)
);
CREATE UNIQUE INDEX commands_by_id ON commands (id);
CREATE INDEX commands_open ON commands (enrollment_id, seq) WHERE finished_at = 0;

CREATE TABLE delivered (
    enrollment_id TEXT NOT NULL,
    item_key      TEXT NOT NULL,
    title         TEXT NOT NULL,
    hash          TEXT NOT NULL,
    removal       BOOLEAN NOT NULL,
    command_id    TEXT NOT NULL,
    PRIMARY KEY (enrollment_id, item_key)
);

-- due_at is since when a plan is wanted, 0: not; planned is the generation the
-- last committed plan was made for.
CREATE TABLE deliveries (
    device_id   TEXT PRIMARY KEY,
    generation  BIGINT NOT NULL,
    planned     BIGINT NOT NULL,
    due_at      BIGINT NOT NULL,
    lease_until BIGINT NOT NULL
);
CREATE INDEX deliveries_due ON deliveries (due_at) WHERE due_at > 0;

CREATE TABLE pushes (
    enrollment_id TEXT PRIMARY KEY,
    generation    BIGINT NOT NULL,
    due_at        BIGINT NOT NULL,
    lease_until   BIGINT NOT NULL,
    attempts      BIGINT NOT NULL,
    pushed_at     BIGINT NOT NULL,
    reason        TEXT NOT NULL
);
CREATE INDEX pushes_due ON pushes (due_at) WHERE due_at > 0;

CREATE TABLE secrets (
    name       TEXT PRIMARY KEY,
    value      BLOB NOT NULL, -- sealed
    updated_at BIGINT NOT NULL
);

CREATE TABLE challenges (
    hash        BLOB PRIMARY KEY,
    binding     TEXT NOT NULL,
    expires_at  BIGINT NOT NULL,
    used_at     BIGINT NOT NULL,
    used_by_key BLOB,
    fingerprint TEXT NOT NULL
);

CREATE TABLE identities (
    fingerprint TEXT PRIMARY KEY,
    der         BLOB NOT NULL,
    key_hash    BLOB NOT NULL,
    binding     TEXT NOT NULL,
    renews      TEXT NOT NULL,
    issued_at   BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    revoked_at  BIGINT NOT NULL
);

CREATE TABLE tokens (
    id           TEXT PRIMARY KEY,
    name         TEXT NOT NULL,
    role         TEXT NOT NULL,
    hash         BLOB NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    revoked_at   BIGINT NOT NULL
);
CREATE UNIQUE INDEX tokens_by_hash ON tokens (hash);

-- A request has a secret for each link that was made for it, and all are good.
CREATE TABLE request_secrets (
    hash       BLOB PRIMARY KEY,
    request_id TEXT NOT NULL REFERENCES requests (id) ON DELETE CASCADE
);
CREATE INDEX request_secrets_by_request ON request_secrets (request_id);

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

-- The rules of the gate in their order.
CREATE TABLE gate_rules (
    name       TEXT PRIMARY KEY,
    position   BIGINT NOT NULL,
    enabled    BOOLEAN NOT NULL,
    conditions TEXT NOT NULL,
    action     TEXT NOT NULL,
    evidence   TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- Devices that the gate held. A rejection outlives the row of its device, for
-- which device_id is then NULL; anything else ends with it.
CREATE TABLE approvals (
    serial      TEXT PRIMARY KEY,
    device_id   TEXT REFERENCES devices (id) ON DELETE CASCADE,
    state       TEXT NOT NULL,
    decision_id TEXT NOT NULL,
    attempts    BIGINT NOT NULL,
    asked_at    BIGINT NOT NULL,
    last_at     BIGINT NOT NULL,
    decided_at  BIGINT NOT NULL,
    decided_by  TEXT NOT NULL
);
CREATE INDEX approvals_by_state ON approvals (state, serial);
CREATE INDEX approvals_by_device ON approvals (device_id) WHERE device_id IS NOT NULL;

CREATE TABLE domains (
    name       TEXT PRIMARY KEY,
    created_at BIGINT NOT NULL
);
INSERT INTO domains (name, created_at) VALUES ('local', 0);

-- When a device was last heard of, to the minute. It stands beside the device:
-- an index of devices on what changes all the time would make each of these
-- changes a change of every index.
CREATE TABLE device_seen (
    device_id TEXT PRIMARY KEY,
    serial    TEXT NOT NULL,
    at        BIGINT NOT NULL
);
CREATE INDEX device_seen_by_time ON device_seen (at, serial);

CREATE TABLE device_tags (
    tag       TEXT NOT NULL,
    serial    TEXT NOT NULL,
    device_id TEXT NOT NULL,
    PRIMARY KEY (tag, serial)
);
CREATE INDEX device_tags_by_device ON device_tags (device_id);

CREATE TABLE device_events (
    id        TEXT PRIMARY KEY,
    device_id TEXT NOT NULL,
    at        BIGINT NOT NULL,
    kind      TEXT NOT NULL,
    actor     TEXT NOT NULL,
    import_id TEXT NOT NULL,
    changes   TEXT NOT NULL
);
CREATE INDEX device_events_by_device ON device_events (device_id, at, id);

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
