-- +goose Up

-- What an enrollment is declared (declarative management), and what it reports.
CREATE TABLE declarative (
    enrollment_id TEXT COLLATE "C" PRIMARY KEY,
    token         TEXT COLLATE "C" NOT NULL,
    changed_at    BIGINT NOT NULL,
    status        BYTEA, -- sealed
    status_at     BIGINT NOT NULL
);

CREATE TABLE declarations (
    enrollment_id TEXT COLLATE "C" NOT NULL,
    kind          TEXT COLLATE "C" NOT NULL,
    identifier    TEXT COLLATE "C" NOT NULL,
    type          TEXT COLLATE "C" NOT NULL,
    server_token  TEXT COLLATE "C" NOT NULL,
    body          BYTEA NOT NULL, -- sealed
    PRIMARY KEY (enrollment_id, kind, identifier)
);
