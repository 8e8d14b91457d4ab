-- When a price begins and ends; NULL: when it was set, and never. What depends on the length of the prompt stands in
-- `tiers`, for a Bursar of before would not read it among the components.
ALTER TABLE prices ADD COLUMN valid_from timestamptz;

ALTER TABLE prices ADD COLUMN valid_to timestamptz;

ALTER TABLE prices ADD COLUMN tiers json;

CREATE TABLE models (
    name       text COLLATE "C" PRIMARY KEY,
    active     boolean NOT NULL,
    created_at timestamptz NOT NULL
);

-- One count of versions for all models: a charge names its model as the caller did, the version says which price.
CREATE TABLE model_prices (
    version        bigint PRIMARY KEY CHECK (version > 0),
    model          text COLLATE "C" NOT NULL REFERENCES models (name),
    source         text NOT NULL,
    components     json NOT NULL,
    rounding       text NOT NULL,
    minimum        bigint NOT NULL,
    markup         text NOT NULL,
    usd_per_credit text,
    created_at     timestamptz NOT NULL,
    flat           bigint,
    valid_from     timestamptz NOT NULL,
    valid_to       timestamptz
);
