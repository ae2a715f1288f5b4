-- +goose Up

-- When an enrollment had its whole policy for the first time; 0: not yet.
ALTER TABLE enrollments ADD COLUMN policy_at BIGINT NOT NULL DEFAULT 0;
