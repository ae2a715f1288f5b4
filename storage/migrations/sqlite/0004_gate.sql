-- +goose Up

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

ALTER TABLE decisions ADD COLUMN near_misses TEXT NOT NULL DEFAULT 'null';
ALTER TABLE decisions ADD COLUMN repaired_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE decisions ADD COLUMN repaired_by TEXT NOT NULL DEFAULT '';
ALTER TABLE decisions ADD COLUMN repaired_serial TEXT NOT NULL DEFAULT '';
CREATE INDEX decisions_by_age ON decisions (at, id);

-- For the number of devices a user has enrolled.
CREATE INDEX devices_enrolled_by_user ON devices (user_id) WHERE state = 'enrolled' AND user_id <> '';
