-- +goose Up

-- Nothing was shipped with the table of 0001.
DROP TABLE imports;

-- fingerprint is a hash of the file and all options. lease_until is 0 where
-- no worker has the import.
CREATE TABLE imports (
    id            TEXT COLLATE "C" PRIMARY KEY,
    state         TEXT COLLATE "C" NOT NULL,
    file_name     TEXT COLLATE "C" NOT NULL,
    size          BIGINT NOT NULL,
    sha256        TEXT COLLATE "C" NOT NULL,
    fingerprint   TEXT COLLATE "C" NOT NULL,
    lines         BIGINT NOT NULL,
    nature        TEXT COLLATE "C" NOT NULL,
    options       TEXT COLLATE "C" NOT NULL,
    charset       TEXT COLLATE "C" NOT NULL,
    delimiter     TEXT COLLATE "C" NOT NULL,
    file_columns  TEXT COLLATE "C" NOT NULL,
    counts        TEXT COLLATE "C" NOT NULL,
    done          BIGINT NOT NULL,
    stale         BIGINT NOT NULL,
    problem       TEXT COLLATE "C" NOT NULL,
    created_by    TEXT COLLATE "C" NOT NULL,
    created_at    BIGINT NOT NULL,
    planned_at    BIGINT NOT NULL,
    applied_by    TEXT COLLATE "C" NOT NULL,
    applied_at    BIGINT NOT NULL,
    reverted_by   TEXT COLLATE "C" NOT NULL,
    reverted_at   BIGINT NOT NULL,
    reverted      TEXT COLLATE "C" NOT NULL,
    worker        TEXT COLLATE "C" NOT NULL,
    lease_until   BIGINT NOT NULL
);
CREATE INDEX imports_by_fingerprint ON imports (fingerprint);
CREATE INDEX imports_open ON imports (id) WHERE state IN ('uploading', 'uploaded', 'planning', 'applying', 'reverting');

-- The file in compressed parts.
CREATE TABLE import_chunks (
    import_id TEXT COLLATE "C" NOT NULL REFERENCES imports (id) ON DELETE CASCADE,
    seq       BIGINT NOT NULL,
    data      BYTEA NOT NULL,
    PRIMARY KEY (import_id, seq)
);

-- The plan, a row for each line. base is the version of the device it was made
-- against; old and fresh are the row of devices before and after (JSON), empty
-- where the device is not written.
CREATE TABLE import_rows (
    import_id TEXT COLLATE "C" NOT NULL REFERENCES imports (id) ON DELETE CASCADE,
    line      BIGINT NOT NULL,
    action    TEXT COLLATE "C" NOT NULL,
    serial    TEXT COLLATE "C" NOT NULL,
    email     TEXT COLLATE "C" NOT NULL,
    device_id TEXT COLLATE "C" NOT NULL,
    base      BIGINT NOT NULL,
    old       TEXT COLLATE "C" NOT NULL,
    fresh     TEXT COLLATE "C" NOT NULL,
    detail    TEXT COLLATE "C" NOT NULL,
    warned    BOOLEAN NOT NULL,
    revert    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (import_id, line)
);
CREATE INDEX import_rows_by_action ON import_rows (import_id, action, line);

-- The users of a plan; base is updated_at of the user it was made against.
CREATE TABLE import_users (
    import_id TEXT COLLATE "C" NOT NULL REFERENCES imports (id) ON DELETE CASCADE,
    email     TEXT COLLATE "C" NOT NULL,
    user_id   TEXT COLLATE "C" NOT NULL,
    base      BIGINT NOT NULL,
    old       TEXT COLLATE "C" NOT NULL,
    fresh     TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (import_id, email)
);

-- What a plan adds to devices, or takes from them: groups and policies by name.
CREATE TABLE import_links (
    import_id TEXT COLLATE "C" NOT NULL REFERENCES imports (id) ON DELETE CASCADE,
    line      BIGINT NOT NULL,
    kind      TEXT COLLATE "C" NOT NULL,
    name      TEXT COLLATE "C" NOT NULL,
    device_id TEXT COLLATE "C" NOT NULL,
    adding    BOOLEAN NOT NULL,
    PRIMARY KEY (import_id, line, kind, name)
);

CREATE TABLE import_presets (
    name       TEXT COLLATE "C" PRIMARY KEY,
    preset     TEXT COLLATE "C" NOT NULL,
    updated_at BIGINT NOT NULL
);
