-- What the daily totals lack for reports in money: the provider's cost, debt, and which credits were paid for; and what
-- is owed, by source and expiry. Sums are kept as in totals, each rest from 0 to below one whole. Whoever migrates a
-- ledger with rows in it counts them in.

ALTER TABLE totals ADD COLUMN owed_credits INTEGER NOT NULL DEFAULT 0;
ALTER TABLE totals ADD COLUMN owed_nanos INTEGER NOT NULL DEFAULT 0;
ALTER TABLE totals ADD COLUMN costed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE totals ADD COLUMN costed_credits INTEGER NOT NULL DEFAULT 0;
ALTER TABLE totals ADD COLUMN costed_nanos INTEGER NOT NULL DEFAULT 0;
ALTER TABLE totals ADD COLUMN cost_usd INTEGER NOT NULL DEFAULT 0;
ALTER TABLE totals ADD COLUMN cost_picos INTEGER NOT NULL DEFAULT 0;

CREATE INDEX totals_day ON totals (day);

-- The part of the totals whose credits were paid for, and their cost basis: `money` of the currency and `picos`, 10^-12.
CREATE TABLE paid_totals (
    slot     INTEGER NOT NULL,
    day      INTEGER NOT NULL,
    type     TEXT NOT NULL,
    skill    TEXT NOT NULL,
    model    TEXT NOT NULL,
    plan     TEXT NOT NULL,
    currency TEXT NOT NULL,
    costed   INTEGER NOT NULL,
    credits  INTEGER NOT NULL,
    nanos    INTEGER NOT NULL,
    money    INTEGER NOT NULL,
    picos    INTEGER NOT NULL,
    PRIMARY KEY (slot, day, type, skill, model, plan, currency, costed)
) STRICT, WITHOUT ROWID;

CREATE INDEX paid_totals_day ON paid_totals (day);

-- What remains of all lots, and what was paid for it; `expires` counts days since 1970-01-01, its largest value is never.
-- The source '' is debt.
CREATE TABLE lot_totals (
    slot     INTEGER NOT NULL,
    source   TEXT NOT NULL,
    expires  INTEGER NOT NULL,
    currency TEXT NOT NULL,
    credits  INTEGER NOT NULL,
    nanos    INTEGER NOT NULL,
    money    INTEGER NOT NULL,
    picos    INTEGER NOT NULL,
    PRIMARY KEY (slot, source, expires, currency)
) STRICT, WITHOUT ROWID;

CREATE INDEX lot_totals_expires ON lot_totals (expires);
