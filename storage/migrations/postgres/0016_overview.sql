-- +goose Up

-- What the overview counts by, and what the list of decisions is filtered by.
DROP INDEX decisions_by_age;
CREATE INDEX decisions_by_age ON decisions (at, id, outcome, code);
CREATE INDEX decisions_by_channel ON decisions (channel, id);
CREATE INDEX decisions_by_evidence ON decisions (evidence, id);
CREATE INDEX decisions_near ON decisions (id) WHERE near_misses <> 'null' AND repaired_at = 0;
CREATE INDEX devices_by_created ON devices (created_at, id);
CREATE INDEX enrollments_with_policy ON enrollments (policy_at, enrolled_at) WHERE policy_at > 0;
