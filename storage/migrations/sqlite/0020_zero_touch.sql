-- +goose Up

-- The organization's account at zero-touch, one row. settings is what is known
-- of it (JSON). Without a customer, due_at is 0.
CREATE TABLE zero_touch_account (
    id          TEXT PRIMARY KEY,
    settings    TEXT NOT NULL,
    generation  BIGINT NOT NULL,
    due_at      BIGINT NOT NULL,
    started_at  BIGINT NOT NULL,
    done_at     BIGINT NOT NULL,
    failures    BIGINT NOT NULL,
    problem     TEXT NOT NULL,
    worker      TEXT NOT NULL,
    lease_until BIGINT NOT NULL
);

-- What Google said of each device last. deleted_at 0: it is listed. roll_step is
-- what the roll is to do with it: 'add', 'learn', 'group', 'remove' or nothing.
-- Two devices may have one serial, such as of two makers; some have none.
CREATE TABLE zero_touch_devices (
    name          TEXT PRIMARY KEY,
    serial        TEXT NOT NULL,
    facts         TEXT NOT NULL,
    configuration TEXT NOT NULL,
    choice        TEXT NOT NULL,
    generation    BIGINT NOT NULL,
    deleted_at    BIGINT NOT NULL,
    roll_step     TEXT NOT NULL,
    outcome       TEXT NOT NULL,
    attempts      BIGINT NOT NULL,
    retry_at      BIGINT NOT NULL
);
CREATE INDEX zero_touch_devices_by_serial ON zero_touch_devices (serial, name) WHERE deleted_at = 0;
CREATE INDEX zero_touch_devices_to_settle ON zero_touch_devices (roll_step, name) WHERE roll_step <> '';
