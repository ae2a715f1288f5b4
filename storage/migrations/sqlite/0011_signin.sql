-- +goose Up

-- Of an account-driven enrollment: whose access tokens its requests carry.
ALTER TABLE enrollments ADD COLUMN account TEXT NOT NULL DEFAULT '';

-- The code of an enrollment request that a person can type. hash is keyed.
CREATE TABLE request_codes (
    request_id TEXT PRIMARY KEY REFERENCES requests (id) ON DELETE CASCADE,
    hash       BLOB NOT NULL
);
CREATE UNIQUE INDEX request_codes_by_hash ON request_codes (hash);

-- How many wrong codes came from an address since a time.
CREATE TABLE code_failures (
    source   TEXT PRIMARY KEY,
    since    BIGINT NOT NULL,
    failures BIGINT NOT NULL
);
CREATE INDEX code_failures_by_age ON code_failures (since);

-- People on their way through sign-in pages.
CREATE TABLE sign_ins (
    hash        BLOB PRIMARY KEY,
    data        BLOB NOT NULL, -- sealed
    expires_at  BIGINT NOT NULL,
    finished_at BIGINT NOT NULL
);
CREATE INDEX sign_ins_by_age ON sign_ins (expires_at);

-- expires_at 0: never. A token is bound to the enrollment that used it first.
CREATE TABLE access_tokens (
    hash          BLOB PRIMARY KEY,
    account       TEXT NOT NULL,
    access        TEXT NOT NULL,
    enrollment_id TEXT NOT NULL,
    created_at    BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL
);
CREATE INDEX access_tokens_unbound ON access_tokens (account, created_at) WHERE enrollment_id = '';
CREATE INDEX access_tokens_by_enrollment ON access_tokens (enrollment_id) WHERE enrollment_id <> '';
