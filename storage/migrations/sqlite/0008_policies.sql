-- +goose Up

-- Every save of a policy is a version and stays. What a policy says stands in
-- its version only; restored is the version whose content it has again, 0: none.
CREATE TABLE policy_versions (
    policy_id  TEXT NOT NULL REFERENCES policies (id) ON DELETE CASCADE,
    version    BIGINT NOT NULL,
    priority   BIGINT NOT NULL,
    document   BLOB NOT NULL, -- sealed
    restored   BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    PRIMARY KEY (policy_id, version)
);

-- rollout_base is the version of devices that a roll-out has not reached, 0:
-- there is none.
ALTER TABLE policies DROP COLUMN device_name;
ALTER TABLE policies DROP COLUMN profiles;
ALTER TABLE policies ADD COLUMN rollout_percent BIGINT NOT NULL DEFAULT 100;
ALTER TABLE policies ADD COLUMN rollout_per_minute BIGINT NOT NULL DEFAULT 0;
ALTER TABLE policies ADD COLUMN rollout_paused BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE policies ADD COLUMN rollout_base BIGINT NOT NULL DEFAULT 0;

-- A binding names a group, a device or a user; its id gives the order of binding.
DROP TABLE bindings;
CREATE TABLE bindings (
    id        TEXT NOT NULL,
    policy_id TEXT NOT NULL REFERENCES policies (id) ON DELETE CASCADE,
    group_id  TEXT NOT NULL,
    device_id TEXT NOT NULL,
    user_id   TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (policy_id, group_id, device_id, user_id)
);
CREATE INDEX bindings_by_group ON bindings (group_id) WHERE group_id <> '';
CREATE INDEX bindings_by_device ON bindings (device_id) WHERE device_id <> '';
CREATE INDEX bindings_by_user ON bindings (user_id) WHERE user_id <> '';

-- again_at is when to plan again without a reason from outside, 0: never.
-- versions are those of the policies in the last plan (JSON, by policy ID).
-- told says whether it was told that the device has all of its policies.
-- turn_at is when the device's turn comes in a roll-out that is limited, 0: it
-- came; until then it keeps the version it has.
ALTER TABLE deliveries ADD COLUMN again_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN versions TEXT NOT NULL DEFAULT '{}';
ALTER TABLE deliveries ADD COLUMN told BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE deliveries ADD COLUMN turn_at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX deliveries_again ON deliveries (again_at) WHERE again_at > 0;

-- policies are those an item comes from (JSON); identifier is what the device
-- calls it; tries counts how often the same content was sent; reason says why it
-- was sent again.
ALTER TABLE delivered ADD COLUMN policies TEXT NOT NULL DEFAULT 'null';
ALTER TABLE delivered ADD COLUMN identifier TEXT NOT NULL DEFAULT '';
ALTER TABLE delivered ADD COLUMN tries BIGINT NOT NULL DEFAULT 1;
ALTER TABLE delivered ADD COLUMN reason TEXT NOT NULL DEFAULT '';

-- What of its policies a device is not sent, and why (JSON).
CREATE TABLE delivery_notes (
    enrollment_id TEXT NOT NULL PRIMARY KEY,
    notes         TEXT NOT NULL
);
