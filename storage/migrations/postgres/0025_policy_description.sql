-- +goose Up

-- What a policy is for, in the words of those who look after it. No device is
-- told, so a change of it is no version.
ALTER TABLE policies ADD COLUMN description TEXT NOT NULL DEFAULT '';
