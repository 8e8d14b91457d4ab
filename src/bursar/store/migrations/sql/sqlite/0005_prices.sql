-- When a price begins and ends; NULL: when it was set, and never. What depends on the length of the prompt stands in
-- `tiers`, for a Bursar of before would not read it among the components.
ALTER TABLE prices ADD COLUMN valid_from INTEGER;

ALTER TABLE prices ADD COLUMN valid_to INTEGER;

ALTER TABLE prices ADD COLUMN tiers TEXT;

CREATE TABLE models (
    name       TEXT NOT NULL PRIMARY KEY,
    active     INTEGER NOT NULL CHECK (active IN (0, 1)),
    created_at INTEGER NOT NULL
) STRICT;

-- One count of versions for all models: a charge names its model as the caller did, the version says which price.
CREATE TABLE model_prices (
    version        INTEGER NOT NULL PRIMARY KEY CHECK (version > 0),
    model          TEXT NOT NULL REFERENCES models (name),
    source         TEXT NOT NULL,
    components     TEXT NOT NULL,
    rounding       TEXT NOT NULL,
    minimum        INTEGER NOT NULL,
    markup         TEXT NOT NULL,
    usd_per_credit TEXT,
    created_at     INTEGER NOT NULL,
    flat           INTEGER,
    valid_from     INTEGER NOT NULL,
    valid_to       INTEGER
) STRICT;
