-- +goose Up

-- Accounts at Apple's Device Enrollment Program. session is that of the token
-- installed_at names. full_list says that pages of a full list are being taken;
-- devices whose generation is older are gone when it ends. due_at 0: never. The
-- row is locked first by whatever changes anything of the account.
CREATE TABLE dep_accounts (
    id           TEXT COLLATE "C" PRIMARY KEY,
    name         TEXT COLLATE "C" NOT NULL,
    pre_enroll   BOOLEAN NOT NULL,
    defaults     TEXT COLLATE "C" NOT NULL,
    certificate  TEXT COLLATE "C" NOT NULL,
    private_key  BYTEA NOT NULL, -- sealed
    token        BYTEA, -- sealed
    session      BYTEA, -- sealed
    installed_at BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    server_uuid  TEXT COLLATE "C" NOT NULL,
    apple        TEXT COLLATE "C" NOT NULL,
    sync_cursor  TEXT COLLATE "C" NOT NULL,
    cursor_at    BIGINT NOT NULL,
    full_list    BOOLEAN NOT NULL,
    generation   BIGINT NOT NULL,
    due_at       BIGINT NOT NULL,
    started_at   BIGINT NOT NULL,
    done_at      BIGINT NOT NULL,
    failures     BIGINT NOT NULL,
    problem      TEXT COLLATE "C" NOT NULL,
    worker       TEXT COLLATE "C" NOT NULL,
    lease_until  BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL
);
CREATE UNIQUE INDEX dep_accounts_by_name ON dep_accounts (name);
CREATE UNIQUE INDEX dep_accounts_by_server ON dep_accounts (server_uuid) WHERE server_uuid <> '';

-- uuid is that of the version defined, which is 0 where Apple knows none.
CREATE TABLE dep_profiles (
    id             TEXT COLLATE "C" PRIMARY KEY,
    account_id     TEXT COLLATE "C" NOT NULL REFERENCES dep_accounts (id) ON DELETE CASCADE,
    name           TEXT COLLATE "C" NOT NULL,
    settings       TEXT COLLATE "C" NOT NULL,
    authentication TEXT COLLATE "C" NOT NULL,
    minimum_os     TEXT COLLATE "C" NOT NULL,
    secret         BYTEA NOT NULL, -- sealed
    secret_hash    BYTEA NOT NULL,
    version        BIGINT NOT NULL,
    uuid           TEXT COLLATE "C" NOT NULL,
    defined        BIGINT NOT NULL,
    defined_at     BIGINT NOT NULL,
    problem        TEXT COLLATE "C" NOT NULL,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL
);
CREATE UNIQUE INDEX dep_profiles_by_name ON dep_profiles (account_id, name);
CREATE UNIQUE INDEX dep_profiles_by_secret ON dep_profiles (secret_hash);

-- Every version that Apple was told. A version is there again after Apple has
-- lost it.
CREATE TABLE dep_versions (
    uuid       TEXT COLLATE "C" PRIMARY KEY,
    profile_id TEXT COLLATE "C" NOT NULL REFERENCES dep_profiles (id) ON DELETE CASCADE,
    version    BIGINT NOT NULL,
    defined_at BIGINT NOT NULL
);
CREATE INDEX dep_versions_by_profile ON dep_versions (profile_id, version);

-- What Apple said of each device last. deleted_at 0: it is listed. roll_step is
-- what the roll is to do with it: 'add', 'learn',
-- 'group', 'remove' or nothing. retry_at
-- is when the next attempt to assign may be made.
CREATE TABLE dep_devices (
    account_id     TEXT COLLATE "C" NOT NULL REFERENCES dep_accounts (id) ON DELETE CASCADE,
    serial         TEXT COLLATE "C" NOT NULL,
    family         TEXT COLLATE "C" NOT NULL,
    facts          TEXT COLLATE "C" NOT NULL,
    profile_uuid   TEXT COLLATE "C" NOT NULL,
    profile_status TEXT COLLATE "C" NOT NULL,
    assigned_at    BIGINT NOT NULL,
    pushed_at      BIGINT NOT NULL,
    op_at          BIGINT NOT NULL,
    generation     BIGINT NOT NULL,
    deleted_at     BIGINT NOT NULL,
    roll_step      TEXT COLLATE "C" NOT NULL,
    outcome        TEXT COLLATE "C" NOT NULL,
    attempts       BIGINT NOT NULL,
    retry_at       BIGINT NOT NULL,
    PRIMARY KEY (account_id, serial)
);
CREATE INDEX dep_devices_by_serial ON dep_devices (serial, account_id) WHERE deleted_at = 0;
CREATE INDEX dep_devices_to_settle ON dep_devices (account_id, roll_step, serial) WHERE roll_step <> '';
CREATE INDEX dep_devices_by_profile ON dep_devices (profile_uuid) WHERE profile_uuid <> '' AND deleted_at = 0;
