-- Skills, prices and plans: small, read whole when the version has moved.

-- Every batch compares it with what its process has in memory.
-- name: catalogue_version
SELECT version FROM catalogue;

-- In the same tx as the change, so that no process misses it.
-- name: bump_catalogue
UPDATE catalogue SET version = version + 1;

-- The catalogue is loaded whole.
-- name: list_skills
SELECT name, display_name, description, active, created_at FROM skills ORDER BY name;

-- Every version ever: a hold is captured at the one it was quoted.
-- name: list_prices
SELECT skill, version, components, rounding, minimum, markup, created_at, flat FROM prices ORDER BY skill, version;

-- The catalogue is loaded whole.
-- name: list_plans
SELECT name, display_name, allowance, period, anchor, renewal, rollover_cap, priority, created_at
FROM plans ORDER BY name;

-- A name that is taken is refused by the primary key.
-- name: insert_skill
INSERT INTO skills (name, display_name, description, active, created_at)
VALUES (?1, ?2, ?3, ?4, ?5);

-- The kill switch, and a skill's words.
-- name: update_skill
UPDATE skills SET display_name = ?2, description = ?3, active = ?4 WHERE name = ?1;

-- Prices are never changed: a new one is a new version.
-- name: insert_price
INSERT INTO prices (skill, version, components, rounding, minimum, markup, created_at, flat)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8);

-- A plan is changed in place; what was granted under it stays as it was granted.
-- name: upsert_plan
INSERT INTO plans (name, display_name, allowance, period, anchor, renewal, rollover_cap, priority, created_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
ON CONFLICT (name) DO UPDATE SET
    display_name = excluded.display_name, allowance = excluded.allowance, period = excluded.period,
    anchor = excluded.anchor, renewal = excluded.renewal, rollover_cap = excluded.rollover_cap,
    priority = excluded.priority;
