-- +goose Up

-- The orders of the device list. What follows the serial lets the rest of a
-- query be held against the index alone.
DROP INDEX devices_by_name;
DROP INDEX devices_by_updated;
DROP INDEX devices_by_enrolled;
CREATE INDEX devices_by_name ON devices (name_key, serial, effective, platform, ownership, source);
CREATE INDEX devices_by_updated ON devices (updated_at, serial, effective, platform, ownership, source);
CREATE INDEX devices_by_enrolled ON devices (enrolled_at, serial, effective, platform, ownership, source);

-- The same among the devices of one state, whose place in these orders follows
-- from the state.
CREATE INDEX devices_by_effective_updated ON devices (effective, updated_at, serial);
CREATE INDEX devices_by_effective_enrolled ON devices (effective, enrolled_at, serial);

-- Devices by when they were last heard of, likewise.
ALTER TABLE device_seen ADD COLUMN effective TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE device_seen ADD COLUMN platform TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE device_seen ADD COLUMN ownership TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE device_seen ADD COLUMN source TEXT COLLATE "C" NOT NULL DEFAULT '';
UPDATE device_seen SET effective = d.effective, platform = d.platform, ownership = d.ownership, source = d.source
    FROM devices d WHERE d.id = device_seen.device_id;
DROP INDEX device_seen_by_time;
CREATE INDEX device_seen_by_time ON device_seen (at, serial, effective, platform, ownership, source);
CREATE INDEX device_seen_by_effective ON device_seen (effective, at, serial);
