-- +goose Up

-- What the plan of an import was made from is counted, so that a correction of
-- a row that was planned anew is noticed. problem is the code of a row's first
-- error.
ALTER TABLE imports ADD COLUMN version BIGINT NOT NULL DEFAULT 1;
ALTER TABLE import_rows ADD COLUMN version BIGINT NOT NULL DEFAULT 1;
ALTER TABLE import_rows ADD COLUMN problem TEXT NOT NULL DEFAULT '';
CREATE INDEX import_rows_by_problem ON import_rows (import_id, problem, line) WHERE problem <> '';

-- The version of the row's device after what the import did with it beyond
-- writing it; 0: nothing.
ALTER TABLE import_rows ADD COLUMN written BIGINT NOT NULL DEFAULT 0;

-- Who gets enrollment requests once the import is applied, and how far that has
-- come (JSON).
ALTER TABLE imports ADD COLUMN sending TEXT NOT NULL DEFAULT 'null';
DROP INDEX imports_open;
CREATE INDEX imports_open ON imports (id) WHERE state IN ('uploading', 'uploaded', 'planning', 'applying', 'sending', 'reverting');
