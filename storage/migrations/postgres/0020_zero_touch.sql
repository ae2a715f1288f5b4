-- +goose Up

-- The organization's account at zero-touch, one row. settings is what is known
-- of it (JSON). Without a customer, due_at is 0.
CREATE TABLE zero_touch_account (
    id          TEXT COLLATE "C" PRIMARY KEY,
    settings    TEXT COLLATE "C" NOT NULL,
    generation  BIGINT NOT NULL,
    due_at      BIGINT NOT NULL,
    started_at  BIGINT NOT NULL,
    done_at     BIGINT NOT NULL,
    failures    BIGINT NOT NULL,
    problem     TEXT COLLATE "C" NOT NULL,
    worker      TEXT COLLATE "C" NOT NULL,
    lease_until BIGINT NOT NULL
);

-- What Google said of each device last. deleted_at 0: it is listed. roll_step is
-- what the roll is to do with it: 'add', 'learn', 'group', 'remove' or nothing.
-- Two devices may have one serial, such as of two makers; some have none.
CREATE TABLE zero_touch_devices (
    name          TEXT COLLATE "C" PRIMARY KEY,
    serial        TEXT COLLATE "C" NOT NULL,
    facts         TEXT COLLATE "C" NOT NULL,
    configuration TEXT COLLATE "C" NOT NULL,
    choice        TEXT COLLATE "C" NOT NULL,
    generation    BIGINT NOT NULL,
    deleted_at    BIGINT NOT NULL,
    roll_step     TEXT COLLATE "C" NOT NULL,
    outcome       TEXT COLLATE "C" NOT NULL,
    attempts      BIGINT NOT NULL,
    retry_at      BIGINT NOT NULL
);
CREATE INDEX zero_touch_devices_by_serial ON zero_touch_devices (serial, name) WHERE deleted_at = 0;
CREATE INDEX zero_touch_devices_to_settle ON zero_touch_devices (roll_step, name) WHERE roll_step <> '';
