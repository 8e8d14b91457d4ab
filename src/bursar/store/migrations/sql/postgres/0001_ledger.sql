-- The ledger, the catalogue, who may sign in, and the views, in the schema that is current.
-- Columns of a row type stand in the order of its Struct in core/model.py. Amounts are nano-credits.
-- No index covers a column that a charge changes, and pages keep room: such updates stay on their page (HOT).

CREATE TABLE accounts (
    account_id     text COLLATE "C" PRIMARY KEY,
    email          text,
    name           text,
    plan           text,
    status         text NOT NULL,
    overage        text NOT NULL,
    timezone       text NOT NULL,
    metadata       json,
    posted         bigint NOT NULL,
    held           bigint NOT NULL CHECK (held >= 0),
    debt           bigint NOT NULL CHECK (debt >= 0),
    spent          bigint NOT NULL,
    open_holds     bigint NOT NULL CHECK (open_holds >= 0),
    holds_opened   bigint NOT NULL,
    seq            bigint NOT NULL CHECK (seq >= 0),
    head           bytea NOT NULL,
    last_reset     timestamptz,
    next_reset     timestamptz,
    due_at         timestamptz,
    created_at     timestamptz NOT NULL,
    recorded_at    timestamptz NOT NULL,
    profile_digest bytea NOT NULL
) WITH (fillfactor = 70);

CREATE INDEX accounts_email ON accounts (email) WHERE email IS NOT NULL;
CREATE INDEX accounts_due ON accounts (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE lots (
    account_id   text COLLATE "C" NOT NULL,
    lot_id       text COLLATE "C" NOT NULL,
    source       text NOT NULL,
    plan         text,
    priority     bigint NOT NULL,
    amount       bigint NOT NULL CHECK (amount >= 0),
    remaining    bigint NOT NULL,
    held         bigint NOT NULL CHECK (held >= 0),
    effective_at timestamptz NOT NULL,
    expires_at   timestamptz,
    ended_at     timestamptz,
    paid         text,
    currency     text,
    seq          bigint NOT NULL,
    started      boolean NOT NULL,
    live         boolean NOT NULL,
    PRIMARY KEY (account_id, lot_id),
    CHECK (remaining >= held)
) WITH (fillfactor = 70);

CREATE INDEX lots_live ON lots (account_id) WHERE live;

CREATE TABLE holds (
    account_id      text COLLATE "C" NOT NULL,
    hold_id         text COLLATE "C" NOT NULL,
    state           text NOT NULL CHECK (state IN ('open', 'dispatched', 'captured', 'released', 'expired')),
    amount          bigint NOT NULL CHECK (amount >= 0),
    captured        bigint NOT NULL,
    measured        bigint,
    slices          json NOT NULL,
    skill           text,
    model           text,
    price_version   bigint,
    usage           json,
    member          text,
    overage         text NOT NULL,
    on_expiry       text NOT NULL,
    actor           text NOT NULL,
    description     text,
    metadata        json,
    idempotency_key text,
    expires_at      timestamptz NOT NULL,
    created_at      timestamptz NOT NULL,
    settled_at      timestamptz,
    settled_seq     bigint NOT NULL,
    settlement      bytea,
    digest          bytea NOT NULL,
    PRIMARY KEY (account_id, hold_id)
) WITH (fillfactor = 70);

CREATE INDEX holds_unsettled ON holds (account_id, expires_at) WHERE state IN ('open', 'dispatched');
CREATE INDEX holds_due ON holds (expires_at) WHERE state IN ('open', 'dispatched');

CREATE TABLE transactions (
    account_id        text COLLATE "C" NOT NULL,
    seq               bigint NOT NULL CHECK (seq > 0),
    id                text COLLATE "C" NOT NULL,
    type              text NOT NULL,
    amount            bigint NOT NULL,
    posted_after      bigint NOT NULL,
    held_after        bigint NOT NULL CHECK (held_after >= 0),
    entries           json NOT NULL,
    skill             text,
    model             text,
    plan              text,
    price_version     bigint,
    usage             json,
    provider_cost_usd text,
    actor             text NOT NULL,
    counterparty      text NOT NULL,
    hold              text COLLATE "C",
    refund_of         text COLLATE "C",
    member            text,
    detail            json,
    effective_at      timestamptz NOT NULL,
    recorded_at       timestamptz NOT NULL,
    description       text,
    metadata          json,
    idempotency_key   text,
    salt              bytea,
    text_digest       bytea,
    hash              bytea NOT NULL,
    PRIMARY KEY (account_id, seq)
);

CREATE INDEX transactions_refunds ON transactions (account_id, refund_of) WHERE refund_of IS NOT NULL;

CREATE TABLE idempotency_keys (
    account_id  text COLLATE "C" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    verb        text NOT NULL,
    fingerprint bytea NOT NULL,
    reference   text COLLATE "C" NOT NULL,
    PRIMARY KEY (account_id, key)
);

-- One row per writer's slot, so that no two writers contend for it; '' stands for none. Read as a sum over the slots.
-- The amount is `credits` whole ones and `nanos` more: a day of everybody's may be more than 64 bits of nano-credits.
CREATE TABLE totals (
    slot         integer NOT NULL,
    day          date NOT NULL,
    type         text NOT NULL,
    skill        text NOT NULL,
    model        text NOT NULL,
    plan         text NOT NULL,
    transactions bigint NOT NULL,
    credits      bigint NOT NULL,
    nanos        bigint NOT NULL,
    PRIMARY KEY (slot, day, type, skill, model, plan)
) WITH (fillfactor = 70);

-- One row: the version that every change of a skill, price or plan raises.
CREATE TABLE catalogue (
    version bigint NOT NULL
);

INSERT INTO catalogue (version) VALUES (1);

CREATE TABLE skills (
    name         text COLLATE "C" PRIMARY KEY,
    display_name text NOT NULL,
    description  text,
    active       boolean NOT NULL,
    created_at   timestamptz NOT NULL
);

CREATE TABLE prices (
    skill      text COLLATE "C" NOT NULL REFERENCES skills (name),
    version    bigint NOT NULL CHECK (version > 0),
    components json NOT NULL,
    rounding   text NOT NULL,
    minimum    bigint NOT NULL,
    markup     text NOT NULL,
    created_at timestamptz NOT NULL,
    flat       bigint,
    PRIMARY KEY (skill, version)
);

CREATE TABLE plans (
    name         text COLLATE "C" PRIMARY KEY,
    display_name text NOT NULL,
    allowance    bigint NOT NULL CHECK (allowance >= 0),
    period       text NOT NULL,
    anchor       text NOT NULL,
    renewal      text NOT NULL,
    rollover_cap bigint,
    priority     bigint NOT NULL,
    created_at   timestamptz NOT NULL
);

CREATE TABLE logins (
    email         text COLLATE "C" PRIMARY KEY CHECK (email = lower(email)),
    password_hash text NOT NULL,
    account_id    text COLLATE "C" NOT NULL,
    role          text NOT NULL,
    created_at    timestamptz NOT NULL
);

CREATE INDEX logins_account ON logins (account_id);

CREATE TABLE api_keys (
    id         text COLLATE "C" PRIMARY KEY,
    digest     bytea NOT NULL UNIQUE,
    prefix     text NOT NULL,
    role       text NOT NULL,
    account_id text COLLATE "C",
    name       text,
    may_grant  boolean NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz
);

CREATE TABLE media (
    id           text COLLATE "C" PRIMARY KEY,
    account_id   text COLLATE "C" NOT NULL,
    content_type text NOT NULL,
    content      bytea NOT NULL,
    created_at   timestamptz NOT NULL
);

ALTER TABLE media ALTER COLUMN content SET STORAGE EXTERNAL;

-- Small facts about this database; `compatible_from` is the oldest schema whose Bursar may still run on it.
CREATE TABLE settings (
    name  text COLLATE "C" PRIMARY KEY,
    value text NOT NULL
);

INSERT INTO settings (name, value) VALUES ('compatible_from', '0001');

-- For people and BI: whole units, read-only. What is due but not yet done by anyone is not in them.
CREATE VIEW users AS
SELECT
    a.account_id AS id,
    a.email,
    a.name,
    a.plan,
    trim_scale((a.posted::numeric - a.held) * 0.000000001) AS credits,
    trim_scale(a.posted * 0.000000001) AS posted,
    trim_scale(a.held * 0.000000001) AS held,
    trim_scale(p.allowance * 0.000000001) AS credits_limit,
    trim_scale((a.posted::numeric - a.held) * 0.000000001) AS ai_credits,
    trim_scale(p.allowance * 0.000000001) AS ai_credits_limit,
    a.last_reset AS ai_credits_last_reset,
    -- 2,000 tokens to a credit, so 500,000 nano-credits to a token.
    (
        SELECT coalesce(div(-sum(t.amount), 500000), 0)::bigint FROM transactions AS t
        WHERE t.account_id = a.account_id AND t.type IN ('CONSUMPTION', 'REFUND')
    ) AS total_tokens_used,
    a.spent / 500000 AS monthly_tokens_used,
    a.next_reset AS monthly_reset_date,
    coalesce(a.plan <> 'free', false) AS is_subscribed,
    a.plan AS subscription_tier,
    NULL::timestamptz AS subscription_ends_at,
    a.created_at
FROM accounts AS a
LEFT JOIN plans AS p ON p.name = a.plan;

-- Two things in FROM: a view over one table alone could be written to.
CREATE VIEW credit_transactions AS
SELECT
    t.id,
    t.account_id AS user_id,
    t.seq,
    t.type,
    trim_scale(t.amount * 0.000000001) AS amount,
    trim_scale(t.posted_after * 0.000000001) AS balance_after,
    trim_scale((t.posted_after::numeric - t.held_after) * 0.000000001) AS available_after,
    t.skill,
    t.model,
    t.plan,
    t.price_version,
    t.usage,
    t.provider_cost_usd,
    t.description,
    t.metadata,
    t.actor,
    CASE WHEN t.amount <= 0 THEN o.own ELSE t.counterparty END AS source,
    CASE WHEN t.amount <= 0 THEN t.counterparty ELSE o.own END AS destination,
    t.hold,
    t.refund_of,
    t.member,
    t.detail,
    t.idempotency_key,
    t.effective_at,
    t.recorded_at,
    t.recorded_at AS created_at
FROM transactions AS t
CROSS JOIN LATERAL (SELECT 'account:' || t.account_id AS own) AS o;

-- The lot is NULL where the account's debt moved.
CREATE VIEW entries AS
SELECT
    t.account_id,
    t.seq,
    e.entry ->> 0 AS lot_id,
    trim_scale((e.entry ->> 1)::bigint * 0.000000001) AS amount
FROM transactions AS t
CROSS JOIN LATERAL json_array_elements(t.entries) AS e (entry);
