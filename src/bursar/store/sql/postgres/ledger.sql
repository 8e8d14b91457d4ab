-- What the engine runs for every batch. Arrays come in as columns: one parameter for each.
--
-- `CROSS JOIN LATERAL (... OFFSET 0)` keeps what is wanted on the outside of the join, whatever the statistics say: planned
-- once, while a table was empty, a plain join would read its whole index for ever after.

-- One ordered statement: two writers that want the same accounts wait for each other and never deadlock. Which tx wrote each
-- row last is all it reads: the rest is mostly known.
-- name: lock_accounts
SELECT account_id, xmin FROM accounts WHERE account_id = ANY($1::text[]) ORDER BY account_id FOR UPDATE;

-- Those of them that nobody else has locked, for when somebody sits on one for long.
-- name: lock_free_accounts
SELECT {account} FROM accounts WHERE account_id = ANY($1::text[]) ORDER BY account_id FOR UPDATE SKIP LOCKED;

-- The same rows for those who only look.
-- name: get_accounts
SELECT {account} FROM accounts WHERE account_id = ANY($1::text[]) ORDER BY account_id;

-- The clock's reading is the database's, so that processes agree; the version says whether a price or skill changed; the last
-- is what `xmin` will be of what this tx writes.
-- name: clock
SELECT clock_timestamp(), version, pg_current_xact_id_if_assigned()::xid FROM catalogue;

-- What there is to burn, pin and expire; spent lots stay out of the way.
-- name: live_lots
SELECT {lot} FROM lots WHERE account_id = ANY($1::text[]) AND live ORDER BY account_id, lot_id;

-- Holds that nobody settled in time. Compared as a pair and looked up for each account (OFFSET 0 keeps it so): planned while
-- the table was empty, it would otherwise go by the other index, by time alone, and read everybody's.
-- name: due_holds
SELECT {h.hold} FROM unnest($1::text[]) AS w (account_id)
CROSS JOIN LATERAL (
    SELECT {hold} FROM holds
    WHERE account_id = w.account_id AND state IN ('open', 'dispatched')
        AND (account_id, expires_at) <= (w.account_id, $2::timestamptz)
    OFFSET 0
) AS h
ORDER BY h.account_id, h.hold_id;

-- Whether a caller's intents were carried out before.
-- name: find_keys
SELECT {k.remembered} FROM unnest($1::text[], $2::text[]) AS w (account_id, key)
CROSS JOIN LATERAL (
    SELECT {x.remembered} FROM idempotency_keys AS x WHERE x.account_id = w.account_id AND x.key = w.key OFFSET 0
) AS k;

-- The holds that a batch names.
-- name: find_holds
SELECT {h.hold} FROM unnest($1::text[], $2::text[]) AS w (account_id, hold_id)
CROSS JOIN LATERAL (
    SELECT {x.hold} FROM holds AS x WHERE x.account_id = w.account_id AND x.hold_id = w.hold_id OFFSET 0
) AS h;

-- The lots that a hold or a transaction names, spent ones too.
-- name: find_lots
SELECT {l.lot} FROM unnest($1::text[], $2::text[]) AS w (account_id, lot_id)
CROSS JOIN LATERAL (
    SELECT {x.lot} FROM lots AS x WHERE x.account_id = w.account_id AND x.lot_id = w.lot_id OFFSET 0
) AS l;

-- A transaction's id carries its seq: finding it by id is finding it by primary key.
-- name: find_transactions
SELECT {t.transaction} FROM unnest($1::text[], $2::bigint[]) AS w (account_id, seq)
CROSS JOIN LATERAL (
    SELECT {x.transaction} FROM transactions AS x WHERE x.account_id = w.account_id AND x.seq = w.seq OFFSET 0
) AS t;

-- What was given back of a charge already. OFFSET 0: see above.
-- name: find_refunds
SELECT {t.transaction} FROM unnest($1::text[], $2::text[]) AS w (account_id, refund_of)
CROSS JOIN LATERAL (
    SELECT {transaction} FROM transactions WHERE account_id = w.account_id AND refund_of = w.refund_of OFFSET 0
) AS t
ORDER BY t.account_id, t.seq;

-- What a run that ends has in flight.
-- name: find_calls
SELECT {hold} FROM holds WHERE account_id = $1::text AND run = $2::text AND state IN ('open', 'dispatched')
ORDER BY account_id, hold_id;

-- Who spends in a member's name, with the member's own limits.
-- name: find_members
SELECT {m.member} FROM unnest($1::text[], $2::text[]) AS w (account_id, member)
CROSS JOIN LATERAL (
    SELECT {x.member} FROM members AS x WHERE x.account_id = w.account_id AND x.member = w.member OFFSET 0
) AS m;

-- Only what a charge changes, no indexed column among them: the update stays on its page.
-- name: update_spent
UPDATE accounts AS a SET
    posted = w.posted, spent = w.spent, seq = w.seq, head = w.head, recorded_at = w.recorded_at,
    limits = w.limits::json
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[], $6::timestamptz[], $7::text[])
    AS w (account_id, posted, spent, seq, head, recorded_at, limits)
WHERE a.account_id = w.account_id;

-- What holds and debt change as well; it stays on its page too.
-- name: update_balances
UPDATE accounts AS a SET
    posted = w.posted, held = w.held, debt = w.debt, spent = w.spent, open_holds = w.open_holds,
    holds_opened = w.holds_opened, seq = w.seq, head = w.head, recorded_at = w.recorded_at,
    limits = w.limits::json
FROM unnest(
    $1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
    $9::bytea[], $10::timestamptz[], $11::text[]
) AS w (account_id, posted, held, debt, spent, open_holds, holds_opened, seq, head, recorded_at, limits)
WHERE a.account_id = w.account_id;

-- The whole row: a profile, a status, a renewal.
-- name: update_accounts
UPDATE accounts AS a SET
    email = w.email, name = w.name, plan = w.plan, status = w.status, overage = w.overage, timezone = w.timezone,
    metadata = w.metadata::json, posted = w.posted, held = w.held, debt = w.debt, spent = w.spent,
    open_holds = w.open_holds, holds_opened = w.holds_opened, seq = w.seq, head = w.head, last_reset = w.last_reset,
    next_reset = w.next_reset, due_at = w.due_at, created_at = w.created_at, recorded_at = w.recorded_at,
    profile_digest = w.profile_digest, allowance = w.allowance, overused = w.overused, ends_at = w.ends_at,
    anchored_at = w.anchored_at, next_plan = w.next_plan, next_plan_at = w.next_plan_at,
    next_plan_days = w.next_plan_days, trialed_at = w.trialed_at, limits = w.limits::json
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[],
    $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[], $16::bytea[],
    $17::timestamptz[], $18::timestamptz[], $19::timestamptz[], $20::timestamptz[], $21::timestamptz[], $22::bytea[],
    $23::bigint[], $24::bigint[], $25::timestamptz[], $26::timestamptz[], $27::text[], $28::timestamptz[],
    $29::bigint[], $30::timestamptz[], $31::text[]
) AS w (
    account_id, email, name, plan, status, overage, timezone, metadata, posted, held, debt, spent, open_holds,
    holds_opened, seq, head, last_reset, next_reset, due_at, created_at, recorded_at, profile_digest, allowance,
    overused, ends_at, anchored_at, next_plan, next_plan_at, next_plan_days, trialed_at,
    limits
)
WHERE a.account_id = w.account_id;

-- Only what paying or pinning changes.
-- name: update_lots
UPDATE lots AS l SET remaining = w.remaining, held = w.held, live = w.live
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::boolean[])
    AS w (account_id, lot_id, remaining, held, live)
WHERE l.account_id = w.account_id AND l.lot_id = w.lot_id;

-- What starting, expiring or voiding a lot changes.
-- name: update_ended_lots
UPDATE lots AS l SET
    remaining = w.remaining, held = w.held, ended_at = w.ended_at, seq = w.seq, started = w.started, live = w.live
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::timestamptz[], $6::bigint[], $7::boolean[], $8::boolean[])
    AS w (account_id, lot_id, remaining, held, ended_at, seq, started, live)
WHERE l.account_id = w.account_id AND l.lot_id = w.lot_id;

-- Only what settling a hold changes.
-- name: update_settled_holds
UPDATE holds AS h SET
    state = w.state, captured = w.captured, settled_at = w.settled_at, settled_seq = w.settled_seq,
    settlement = w.settlement, digest = w.digest
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[], $6::bigint[], $7::bytea[], $8::bytea[]
) AS w (account_id, hold_id, state, captured, settled_at, settled_seq, settlement, digest)
WHERE h.account_id = w.account_id AND h.hold_id = w.hold_id;

-- A hold grows, gets more time, or leaves.
-- name: update_holds
UPDATE holds AS h SET
    state = w.state, amount = w.amount, captured = w.captured, measured = w.measured, slices = w.slices::json,
    skill = w.skill, model = w.model, price_version = w.price_version, usage = w.usage::json, member = w.member,
    overage = w.overage, on_expiry = w.on_expiry, actor = w.actor, description = w.description,
    metadata = w.metadata::json, idempotency_key = w.idempotency_key, expires_at = w.expires_at,
    created_at = w.created_at, settled_at = w.settled_at, settled_seq = w.settled_seq, settlement = w.settlement,
    digest = w.digest, run = w.run, budget = w.budget, counted_at = w.counted_at
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[], $8::text[], $9::text[],
    $10::bigint[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[],
    $18::text[], $19::timestamptz[], $20::timestamptz[], $21::timestamptz[], $22::bigint[], $23::bytea[], $24::bytea[],
    $25::text[], $26::bigint[], $27::timestamptz[]
) AS w (
    account_id, hold_id, state, amount, captured, measured, slices, skill, model, price_version, usage, member, overage,
    on_expiry, actor, description, metadata, idempotency_key, expires_at, created_at, settled_at, settled_seq,
    settlement, digest, run, budget, counted_at
)
WHERE h.account_id = w.account_id AND h.hold_id = w.hold_id;

-- What a member may, or what its limits have counted.
-- name: update_members
UPDATE members AS m SET
    status = w.status, created_at = w.created_at, limits = w.limits::json, digest = w.digest
FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::bytea[])
    AS w (account_id, member, status, created_at, limits, digest)
WHERE m.account_id = w.account_id AND m.member = w.member;

-- Added to the rows of this writer's own slot: nobody else waits for them. A rest that reaches one whole is carried over:
-- it never overflows.
-- name: add_totals
INSERT INTO totals AS t (
    slot, day, type, skill, model, plan, transactions, credits, nanos, owed_credits, owed_nanos, costed, costed_credits,
    costed_nanos, cost_usd, cost_picos
)
SELECT
    $1::integer, date '1970-01-01' + w.day, w.type, w.skill, w.model, w.plan, w.transactions, w.credits, w.nanos,
    w.owed_credits, w.owed_nanos, w.costed, w.costed_credits, w.costed_nanos, w.cost_usd, w.cost_picos
FROM unnest(
    $2::integer[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[], $9::bigint[],
    $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[]
) AS w (
    day, type, skill, model, plan, transactions, credits, nanos, owed_credits, owed_nanos, costed, costed_credits,
    costed_nanos, cost_usd, cost_picos
)
ON CONFLICT (slot, day, type, skill, model, plan) DO UPDATE SET
    transactions = t.transactions + excluded.transactions,
    credits = t.credits + excluded.credits + (t.nanos + excluded.nanos) / 1000000000,
    nanos = (t.nanos + excluded.nanos) % 1000000000,
    owed_credits = t.owed_credits + excluded.owed_credits + (t.owed_nanos + excluded.owed_nanos) / 1000000000,
    owed_nanos = (t.owed_nanos + excluded.owed_nanos) % 1000000000,
    costed = t.costed + excluded.costed,
    costed_credits = t.costed_credits + excluded.costed_credits
        + (t.costed_nanos + excluded.costed_nanos) / 1000000000,
    costed_nanos = (t.costed_nanos + excluded.costed_nanos) % 1000000000,
    cost_usd = t.cost_usd + excluded.cost_usd + (t.cost_picos + excluded.cost_picos) / 1000000000000,
    cost_picos = (t.cost_picos + excluded.cost_picos) % 1000000000000;

-- The paid part of them, likewise.
-- name: add_paid_totals
INSERT INTO paid_totals AS t (
    slot, day, type, skill, model, plan, currency, costed, credits, nanos, money, picos
)
SELECT
    $1::integer, date '1970-01-01' + w.day, w.type, w.skill, w.model, w.plan, w.currency, w.costed, w.credits, w.nanos,
    w.money, w.picos
FROM unnest(
    $2::integer[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::integer[], $9::bigint[],
    $10::bigint[], $11::bigint[], $12::bigint[]
) AS w (day, type, skill, model, plan, currency, costed, credits, nanos, money, picos)
ON CONFLICT (slot, day, type, skill, model, plan, currency, costed) DO UPDATE SET
    credits = t.credits + excluded.credits + (t.nanos + excluded.nanos) / 1000000000,
    nanos = (t.nanos + excluded.nanos) % 1000000000,
    money = t.money + excluded.money + (t.picos + excluded.picos) / 1000000000000,
    picos = (t.picos + excluded.picos) % 1000000000000;

-- What is owed by source and expiry, likewise.
-- name: add_lot_totals
INSERT INTO lot_totals AS t (slot, source, expires, currency, credits, nanos, money, picos)
SELECT $1::integer, w.source, w.expires, w.currency, w.credits, w.nanos, w.money, w.picos
FROM unnest(
    $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[]
) AS w (source, expires, currency, credits, nanos, money, picos)
ON CONFLICT (slot, source, expires, currency) DO UPDATE SET
    credits = t.credits + excluded.credits + (t.nanos + excluded.nanos) / 1000000000,
    nanos = (t.nanos + excluded.nanos) % 1000000000,
    money = t.money + excluded.money + (t.picos + excluded.picos) / 1000000000000,
    picos = (t.picos + excluded.picos) % 1000000000000;
