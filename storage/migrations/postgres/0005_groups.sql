-- +goose Up

CREATE TABLE domains (
    name       TEXT COLLATE "C" PRIMARY KEY,
    created_at BIGINT NOT NULL
);
INSERT INTO domains (name, created_at) VALUES ('local', 0);
INSERT INTO domains (name, created_at) SELECT DISTINCT domain, 0 FROM users WHERE domain <> 'local';

ALTER TABLE users ADD COLUMN language TEXT COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX users_by_domain ON users (domain, email);

-- What lists and rule groups look at. It follows from the row and its owner and
-- is written with the row. model, product and imei are blank until the user has
-- accepted.
ALTER TABLE devices ADD COLUMN effective TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE devices ADD COLUMN source TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE devices ADD COLUMN domain TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE devices ADD COLUMN email TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE devices ADD COLUMN user_key TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE devices ADD COLUMN model TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE devices ADD COLUMN product TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE devices ADD COLUMN imei TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE devices ADD COLUMN asset_key TEXT COLLATE "C" NOT NULL DEFAULT '';
UPDATE devices SET effective = CASE WHEN blocked_at > 0 AND state <> 'enrolled' THEN 'blocked' ELSE state END, asset_key = lower(asset_tag),
    source = COALESCE(sources::json ->> 'serial', '');
UPDATE devices SET domain = u.domain, email = u.email, user_key = lower(u.name) FROM users u WHERE u.id = devices.user_id;
UPDATE devices SET imei = COALESCE(facts::json ->> 'imei', ''), product = lower(COALESCE(facts::json ->> 'product', '')),
    model = lower(COALESCE(facts::json ->> 'model', facts::json ->> 'product', '')) WHERE accepted_at > 0;

DROP INDEX devices_by_state;
DROP INDEX devices_blocked;
DROP INDEX devices_by_name;
CREATE INDEX devices_by_effective ON devices (effective, serial);
CREATE INDEX devices_by_ownership ON devices (ownership, serial);
CREATE INDEX devices_by_source ON devices (source, serial);
CREATE INDEX devices_by_name ON devices (name_key, serial);
CREATE INDEX devices_by_updated ON devices (updated_at, serial);
CREATE INDEX devices_by_enrolled ON devices (enrolled_at, serial);
CREATE INDEX devices_by_domain ON devices (domain, serial) WHERE domain <> '';
CREATE INDEX devices_by_email ON devices (email, serial) WHERE email <> '';
CREATE INDEX devices_by_user_name ON devices (user_key, serial) WHERE user_key <> '';
CREATE INDEX devices_by_model ON devices (model, serial) WHERE model <> '';
CREATE INDEX devices_by_imei ON devices (imei, serial) WHERE imei <> '';
CREATE INDEX devices_by_asset ON devices (asset_key, serial) WHERE asset_key <> '';
CREATE INDEX devices_expiring ON devices (expires_at) WHERE expires_at > 0;

-- When a device was last heard of, to the minute. It stands beside the device:
-- an index of devices on what changes all the time would make each of these
-- changes a change of every index.
CREATE TABLE device_seen (
    device_id TEXT COLLATE "C" PRIMARY KEY,
    serial    TEXT COLLATE "C" NOT NULL,
    at        BIGINT NOT NULL
);
CREATE INDEX device_seen_by_time ON device_seen (at, serial);
INSERT INTO device_seen (device_id, serial, at) SELECT id, serial, CASE WHEN accepted_at > 0 THEN last_seen_at ELSE 0 END FROM devices;

CREATE TABLE device_tags (
    tag       TEXT COLLATE "C" NOT NULL,
    serial    TEXT COLLATE "C" NOT NULL,
    device_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tag, serial)
);
CREATE INDEX device_tags_by_device ON device_tags (device_id);
INSERT INTO device_tags (tag, serial, device_id) SELECT DISTINCT t.value, d.serial, d.id FROM devices d, LATERAL json_array_elements_text(d.tags::json) t WHERE d.tags <> 'null';

ALTER TABLE memberships ADD COLUMN serial TEXT COLLATE "C" NOT NULL DEFAULT '';
UPDATE memberships SET serial = d.serial FROM devices d WHERE d.id = memberships.device_id;
CREATE INDEX memberships_by_serial ON memberships (group_id, serial);

-- A rule group has a rule (JSON). Its evaluation over the devices that were
-- there before has come to evaluated_to, an ID; generation grows with each
-- change of the rule.
ALTER TABLE device_groups ADD COLUMN rule TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE device_groups ADD COLUMN generation BIGINT NOT NULL DEFAULT 0;
ALTER TABLE device_groups ADD COLUMN evaluating BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE device_groups ADD COLUMN evaluated_to TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE device_groups ADD COLUMN evaluated BIGINT NOT NULL DEFAULT 0;
ALTER TABLE device_groups ADD COLUMN evaluate_total BIGINT NOT NULL DEFAULT 0;

CREATE TABLE device_events (
    id        TEXT COLLATE "C" PRIMARY KEY,
    device_id TEXT COLLATE "C" NOT NULL,
    at        BIGINT NOT NULL,
    kind      TEXT COLLATE "C" NOT NULL,
    actor     TEXT COLLATE "C" NOT NULL,
    import_id TEXT COLLATE "C" NOT NULL,
    changes   TEXT COLLATE "C" NOT NULL
);
CREATE INDEX device_events_by_device ON device_events (device_id, at, id);

CREATE INDEX decisions_by_time ON decisions (serial, at, id);

-- The command that removes the enrollment profile; its success ends the
-- enrollment.
ALTER TABLE enrollments ADD COLUMN disenroll_id TEXT COLLATE "C" NOT NULL DEFAULT '';
