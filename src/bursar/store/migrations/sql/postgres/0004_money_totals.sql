-- What the daily totals lack for reports in money: the provider's cost, debt, and which credits were paid for; and what
-- is owed, by source and expiry. Sums are kept as in totals, each rest from 0 to below one whole. Whoever migrates a
-- ledger with rows in it counts them in.

ALTER TABLE totals ADD COLUMN owed_credits bigint NOT NULL DEFAULT 0;
ALTER TABLE totals ADD COLUMN owed_nanos bigint NOT NULL DEFAULT 0;
ALTER TABLE totals ADD COLUMN costed bigint NOT NULL DEFAULT 0;
ALTER TABLE totals ADD COLUMN costed_credits bigint NOT NULL DEFAULT 0;
ALTER TABLE totals ADD COLUMN costed_nanos bigint NOT NULL DEFAULT 0;
ALTER TABLE totals ADD COLUMN cost_usd bigint NOT NULL DEFAULT 0;
ALTER TABLE totals ADD COLUMN cost_picos bigint NOT NULL DEFAULT 0;

CREATE INDEX totals_day ON totals (day);

-- The part of the totals whose credits were paid for, and their cost basis: `money` of the currency and `picos`, 10^-12.
CREATE TABLE paid_totals (
    slot     integer NOT NULL,
    day      date NOT NULL,
    type     text NOT NULL,
    skill    text NOT NULL,
    model    text NOT NULL,
    plan     text NOT NULL,
    currency text NOT NULL,
    costed   integer NOT NULL,
    credits  bigint NOT NULL,
    nanos    bigint NOT NULL,
    money    bigint NOT NULL,
    picos    bigint NOT NULL,
    PRIMARY KEY (slot, day, type, skill, model, plan, currency, costed)
) WITH (fillfactor = 70);

CREATE INDEX paid_totals_day ON paid_totals (day);

-- What remains of all lots, and what was paid for it; `expires` counts days since 1970-01-01, its largest value is never.
-- The source '' is debt.
CREATE TABLE lot_totals (
    slot     integer NOT NULL,
    source   text NOT NULL,
    expires  bigint NOT NULL,
    currency text NOT NULL,
    credits  bigint NOT NULL,
    nanos    bigint NOT NULL,
    money    bigint NOT NULL,
    picos    bigint NOT NULL,
    PRIMARY KEY (slot, source, expires, currency)
) WITH (fillfactor = 70);

CREATE INDEX lot_totals_expires ON lot_totals (expires);
