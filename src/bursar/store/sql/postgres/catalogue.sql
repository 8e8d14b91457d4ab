-- Skills, models, prices and plans: small, read whole when the version has moved.

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
SELECT skill, version, components, rounding, minimum, markup, created_at, flat, valid_from, valid_to, tiers
FROM prices ORDER BY skill, version;

-- The catalogue is loaded whole.
-- name: list_models
SELECT name, active, created_at FROM models ORDER BY name;

-- Every version ever, as for skills; all of a model's together.
-- name: list_model_prices
SELECT
    version, model, source, components, rounding, minimum, markup, usd_per_credit, created_at, flat,
    valid_from, valid_to
FROM model_prices ORDER BY model, version;

-- The catalogue is loaded whole.
-- name: list_plans
SELECT
    name, display_name, allowance, period, anchor, renewal, rollover_cap, priority, created_at, timezone, duration_days,
    after, trial, prorated
FROM plans ORDER BY name;

-- A name that is taken is refused by the primary key.
-- name: insert_skill
INSERT INTO skills (name, display_name, description, active, created_at)
VALUES ($1::text, $2::text, $3::text, $4::boolean, $5::timestamptz);

-- The kill switch, and a skill's words.
-- name: update_skill
UPDATE skills SET display_name = $2::text, description = $3::text, active = $4::boolean WHERE name = $1::text;

-- Prices are never changed: a new one is a new version.
-- name: insert_price
INSERT INTO prices (
    skill, version, components, rounding, minimum, markup, created_at, flat, valid_from, valid_to, tiers
)
VALUES (
    $1::text, $2::bigint, $3::json, $4::text, $5::bigint, $6::text, $7::timestamptz, $8::bigint,
    $9::timestamptz, $10::timestamptz, $11::json
);

-- A name that is taken is refused by the primary key.
-- name: insert_model
INSERT INTO models (name, active, created_at) VALUES ($1::text, $2::boolean, $3::timestamptz);

-- The kill switch.
-- name: update_model
UPDATE models SET active = $2::boolean WHERE name = $1::text;

-- Prices are never changed: a new one is a new version.
-- name: insert_model_price
INSERT INTO model_prices (
    version, model, source, components, rounding, minimum, markup, usd_per_credit, created_at, flat,
    valid_from, valid_to
)
VALUES (
    $1::bigint, $2::text, $3::text, $4::json, $5::text, $6::bigint,
    $7::text, $8::text, $9::timestamptz, $10::bigint, $11::timestamptz, $12::timestamptz
);

-- A plan is changed in place; what was granted under it stays as it was granted.
-- name: upsert_plan
INSERT INTO plans (
    name, display_name, allowance, period, anchor, renewal, rollover_cap, priority, created_at, timezone, duration_days,
    after, trial, prorated
)
VALUES (
    $1::text, $2::text, $3::bigint, $4::text, $5::text, $6::text, $7::bigint, $8::bigint, $9::timestamptz, $10::text,
    $11::bigint, $12::text, $13::boolean, $14::boolean
)
ON CONFLICT (name) DO UPDATE SET
    display_name = excluded.display_name, allowance = excluded.allowance, period = excluded.period,
    anchor = excluded.anchor, renewal = excluded.renewal, rollover_cap = excluded.rollover_cap,
    priority = excluded.priority, timezone = excluded.timezone, duration_days = excluded.duration_days,
    after = excluded.after, trial = excluded.trial, prorated = excluded.prorated;
