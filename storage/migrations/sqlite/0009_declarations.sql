-- +goose Up

-- What an enrollment is declared (declarative management), and what it reports.
CREATE TABLE declarative (
    enrollment_id TEXT PRIMARY KEY,
    token         TEXT NOT NULL,
    changed_at    BIGINT NOT NULL,
    status        BLOB, -- sealed
    status_at     BIGINT NOT NULL
);

CREATE TABLE declarations (
    enrollment_id TEXT NOT NULL,
    kind          TEXT NOT NULL,
    identifier    TEXT NOT NULL,
    type          TEXT NOT NULL,
    server_token  TEXT NOT NULL,
    body          BLOB NOT NULL, -- sealed
    PRIMARY KEY (enrollment_id, kind, identifier)
);
