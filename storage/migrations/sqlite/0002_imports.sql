-- +goose Up

-- Nothing was shipped with the table of 0001.
DROP TABLE imports;

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
