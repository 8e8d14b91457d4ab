-- The ledger, the catalogue, who may sign in, and the views, in one file.
-- Columns of a row type stand in the order of its Struct in core/model.py. Amounts are nano-credits.
-- Times are microseconds since 1970-01-01 UTC.

CREATE TABLE accounts (
    account_id     TEXT NOT NULL PRIMARY KEY,
    email          TEXT,
    name           TEXT,
    plan           TEXT,
    status         TEXT NOT NULL,
    overage        TEXT NOT NULL,
    timezone       TEXT NOT NULL,
    metadata       TEXT,
    posted         INTEGER NOT NULL,
    held           INTEGER NOT NULL CHECK (held >= 0),
    debt           INTEGER NOT NULL CHECK (debt >= 0),
    spent          INTEGER NOT NULL,
    open_holds     INTEGER NOT NULL CHECK (open_holds >= 0),
    holds_opened   INTEGER NOT NULL,
    seq            INTEGER NOT NULL CHECK (seq >= 0),
    head           BLOB NOT NULL,
    last_reset     INTEGER,
    next_reset     INTEGER,
    due_at         INTEGER,
    created_at     INTEGER NOT NULL,
    recorded_at    INTEGER NOT NULL,
    profile_digest BLOB NOT NULL
) STRICT;

CREATE INDEX accounts_email ON accounts (email) WHERE email IS NOT NULL;
CREATE INDEX accounts_due ON accounts (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE lots (
    account_id   TEXT NOT NULL,
    lot_id       TEXT NOT NULL,
    source       TEXT NOT NULL,
    plan         TEXT,
    priority     INTEGER NOT NULL,
    amount       INTEGER NOT NULL CHECK (amount >= 0),
    remaining    INTEGER NOT NULL,
    held         INTEGER NOT NULL CHECK (held >= 0),
    effective_at INTEGER NOT NULL,
    expires_at   INTEGER,
    ended_at    INTEGER,
    paid         TEXT,
    currency     TEXT,
    seq          INTEGER NOT NULL,
    started      INTEGER NOT NULL CHECK (started IN (0, 1)),
    live         INTEGER NOT NULL CHECK (live IN (0, 1)),
    PRIMARY KEY (account_id, lot_id),
    CHECK (remaining >= held)
) STRICT;

CREATE INDEX lots_live ON lots (account_id) WHERE live;

CREATE TABLE holds (
    account_id      TEXT NOT NULL,
    hold_id         TEXT NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('open', 'dispatched', 'captured', 'released', 'expired')),
    amount          INTEGER NOT NULL CHECK (amount >= 0),
    captured        INTEGER NOT NULL,
    measured        INTEGER,
    slices          TEXT NOT NULL,
    skill           TEXT,
    model           TEXT,
    price_version   INTEGER,
    usage           TEXT,
    member          TEXT,
    overage         TEXT NOT NULL,
    on_expiry       TEXT NOT NULL,
    actor           TEXT NOT NULL,
    description     TEXT,
    metadata        TEXT,
    idempotency_key TEXT,
    expires_at      INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    settled_at      INTEGER,
    settled_seq     INTEGER NOT NULL,
    settlement      BLOB,
    digest          BLOB NOT NULL,
    PRIMARY KEY (account_id, hold_id)
) STRICT;

CREATE INDEX holds_unsettled ON holds (account_id, expires_at) WHERE state IN ('open', 'dispatched');
CREATE INDEX holds_due ON holds (expires_at) WHERE state IN ('open', 'dispatched');

CREATE TABLE transactions (
    account_id        TEXT NOT NULL,
    seq               INTEGER NOT NULL CHECK (seq > 0),
    id                TEXT NOT NULL,
    type              TEXT NOT NULL,
    amount            INTEGER NOT NULL,
    posted_after      INTEGER NOT NULL,
    held_after        INTEGER NOT NULL CHECK (held_after >= 0),
    entries           TEXT NOT NULL,
    skill             TEXT,
    model             TEXT,
    plan              TEXT,
    price_version     INTEGER,
    usage             TEXT,
    provider_cost_usd TEXT,
    actor             TEXT NOT NULL,
    counterparty      TEXT NOT NULL,
    hold              TEXT,
    refund_of         TEXT,
    member            TEXT,
    detail            TEXT,
    effective_at      INTEGER NOT NULL,
    recorded_at       INTEGER NOT NULL,
    description       TEXT,
    metadata          TEXT,
    idempotency_key   TEXT,
    salt              BLOB,
    text_digest       BLOB,
    hash              BLOB NOT NULL,
    PRIMARY KEY (account_id, seq)
) STRICT;

CREATE INDEX transactions_refunds ON transactions (account_id, refund_of) WHERE refund_of IS NOT NULL;

CREATE TABLE idempotency_keys (
    account_id  TEXT NOT NULL,
    key         TEXT NOT NULL,
    verb        TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    reference   TEXT NOT NULL,
    PRIMARY KEY (account_id, key)
) STRICT, WITHOUT ROWID;

-- One row per writer's slot, so that no two writers contend for it; '' stands for none. Read as a sum over the slots.
-- The amount is `credits` whole ones and `nanos` more: a day of everybody's may be more than 64 bits of nano-credits.
CREATE TABLE totals (
    slot         INTEGER NOT NULL,
    day          INTEGER NOT NULL,
    type         TEXT NOT NULL,
    skill        TEXT NOT NULL,
    model        TEXT NOT NULL,
    plan         TEXT NOT NULL,
    transactions INTEGER NOT NULL,
    credits      INTEGER NOT NULL,
    nanos        INTEGER NOT NULL,
    PRIMARY KEY (slot, day, type, skill, model, plan)
) STRICT, WITHOUT ROWID;

-- One row: the version that every change of a skill, price or plan raises.
CREATE TABLE catalogue (
    version INTEGER NOT NULL
) STRICT;

INSERT INTO catalogue (version) VALUES (1);

CREATE TABLE skills (
    name         TEXT NOT NULL PRIMARY KEY,
    display_name TEXT NOT NULL,
    description  TEXT,
    active       INTEGER NOT NULL CHECK (active IN (0, 1)),
    created_at   INTEGER NOT NULL
) STRICT;

CREATE TABLE prices (
    skill      TEXT NOT NULL REFERENCES skills (name),
    version    INTEGER NOT NULL CHECK (version > 0),
    components TEXT NOT NULL,
    rounding   TEXT NOT NULL,
    minimum    INTEGER NOT NULL,
    markup     TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    flat       INTEGER,
    PRIMARY KEY (skill, version)
) STRICT;

CREATE TABLE plans (
    name         TEXT NOT NULL PRIMARY KEY,
    display_name TEXT NOT NULL,
    allowance    INTEGER NOT NULL CHECK (allowance >= 0),
    period       TEXT NOT NULL,
    anchor       TEXT NOT NULL,
    renewal      TEXT NOT NULL,
    rollover_cap INTEGER,
    priority     INTEGER NOT NULL,
    created_at   INTEGER NOT NULL
) STRICT;

CREATE TABLE logins (
    email         TEXT NOT NULL PRIMARY KEY CHECK (email = lower(email)),
    password_hash TEXT NOT NULL,
    account_id    TEXT NOT NULL,
    role          TEXT NOT NULL,
    created_at    INTEGER NOT NULL
) STRICT;

CREATE INDEX logins_account ON logins (account_id);

CREATE TABLE api_keys (
    id         TEXT NOT NULL PRIMARY KEY,
    digest     BLOB NOT NULL UNIQUE,
    prefix     TEXT NOT NULL,
    role       TEXT NOT NULL,
    account_id TEXT,
    name       TEXT,
    may_grant  INTEGER NOT NULL CHECK (may_grant IN (0, 1)),
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;

CREATE TABLE media (
    id           TEXT NOT NULL PRIMARY KEY,
    account_id   TEXT NOT NULL,
    content_type TEXT NOT NULL,
    content      BLOB NOT NULL,
    created_at   INTEGER NOT NULL
) STRICT;

-- Small facts about this database; `compatible_from` is the oldest schema whose Bursar may still run on it.
CREATE TABLE settings (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

INSERT INTO settings (name, value) VALUES ('compatible_from', '0001');

-- For people and BI: whole units, read-only. What is due but not yet done by anyone is not in them.
CREATE VIEW users AS
SELECT
    a.account_id AS id,
    a.email,
    a.name,
    a.plan,
    CASE WHEN (a.posted - a.held) % 1000000000 = 0 THEN (a.posted - a.held) / 1000000000 ELSE (a.posted - a.held) / 1e9 END AS credits,
    CASE WHEN a.posted % 1000000000 = 0 THEN a.posted / 1000000000 ELSE a.posted / 1e9 END AS posted,
    CASE WHEN a.held % 1000000000 = 0 THEN a.held / 1000000000 ELSE a.held / 1e9 END AS held,
    CASE WHEN p.allowance % 1000000000 = 0 THEN p.allowance / 1000000000 ELSE p.allowance / 1e9 END AS credits_limit,
    CASE WHEN (a.posted - a.held) % 1000000000 = 0 THEN (a.posted - a.held) / 1000000000 ELSE (a.posted - a.held) / 1e9 END AS ai_credits,
    CASE WHEN p.allowance % 1000000000 = 0 THEN p.allowance / 1000000000 ELSE p.allowance / 1e9 END AS ai_credits_limit,
    strftime('%Y-%m-%dT%H:%M:%S', a.last_reset / 1000000, 'unixepoch') || printf('.%06dZ', a.last_reset % 1000000) AS ai_credits_last_reset,
    -- 2,000 tokens to a credit, so 500,000 nano-credits to a token; summed apart, since a lifetime may exceed 64 bits.
    (
        SELECT coalesce(-sum(t.amount / 1000000000) * 2000 - sum(t.amount % 1000000000) / 500000, 0) FROM transactions AS t
        WHERE t.account_id = a.account_id AND t.type IN ('CONSUMPTION', 'REFUND')
    ) AS total_tokens_used,
    a.spent / 500000 AS monthly_tokens_used,
    strftime('%Y-%m-%dT%H:%M:%S', a.next_reset / 1000000, 'unixepoch') || printf('.%06dZ', a.next_reset % 1000000) AS monthly_reset_date,
    coalesce(a.plan <> 'free', 0) AS is_subscribed,
    a.plan AS subscription_tier,
    NULL AS subscription_ends_at,
    strftime('%Y-%m-%dT%H:%M:%S', a.created_at / 1000000, 'unixepoch') || printf('.%06dZ', a.created_at % 1000000) AS created_at
FROM accounts AS a
LEFT JOIN plans AS p ON p.name = a.plan;

CREATE VIEW credit_transactions AS
SELECT
    t.id,
    t.account_id AS user_id,
    t.seq,
    t.type,
    CASE WHEN t.amount % 1000000000 = 0 THEN t.amount / 1000000000 ELSE t.amount / 1e9 END AS amount,
    CASE WHEN t.posted_after % 1000000000 = 0 THEN t.posted_after / 1000000000 ELSE t.posted_after / 1e9 END AS balance_after,
    CASE WHEN (t.posted_after - t.held_after) % 1000000000 = 0 THEN (t.posted_after - t.held_after) / 1000000000 ELSE (t.posted_after - t.held_after) / 1e9 END AS available_after,
    t.skill,
    t.model,
    t.plan,
    t.price_version,
    t.usage,
    t.provider_cost_usd,
    t.description,
    t.metadata,
    t.actor,
    CASE WHEN t.amount <= 0 THEN 'account:' || t.account_id ELSE t.counterparty END AS source,
    CASE WHEN t.amount <= 0 THEN t.counterparty ELSE 'account:' || t.account_id END AS destination,
    t.hold,
    t.refund_of,
    t.member,
    t.detail,
    t.idempotency_key,
    strftime('%Y-%m-%dT%H:%M:%S', t.effective_at / 1000000, 'unixepoch') || printf('.%06dZ', t.effective_at % 1000000) AS effective_at,
    strftime('%Y-%m-%dT%H:%M:%S', t.recorded_at / 1000000, 'unixepoch') || printf('.%06dZ', t.recorded_at % 1000000) AS recorded_at,
    strftime('%Y-%m-%dT%H:%M:%S', t.recorded_at / 1000000, 'unixepoch') || printf('.%06dZ', t.recorded_at % 1000000) AS created_at
FROM transactions AS t;

-- The lot is NULL where the account's debt moved.
CREATE VIEW entries AS
SELECT
    t.account_id,
    t.seq,
    json_extract(e.value, '$[0]') AS lot_id,
    CASE WHEN (json_extract(e.value, '$[1]')) % 1000000000 = 0 THEN (json_extract(e.value, '$[1]')) / 1000000000 ELSE (json_extract(e.value, '$[1]')) / 1e9 END AS amount
FROM transactions AS t
CROSS JOIN json_each(t.entries) AS e;
