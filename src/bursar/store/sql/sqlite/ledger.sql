-- What the engine runs for every batch. Several ids come in as one JSON array; several rows by running a statement often.

-- BEGIN IMMEDIATE holds the only lock there is; this reads what it covers.
-- name: lock_accounts
SELECT {a.account} FROM json_each(?1) AS w CROSS JOIN accounts AS a ON a.account_id = w.value ORDER BY a.account_id;

-- BEGIN IMMEDIATE has locked the file: nothing in it is locked by anybody else.
-- name: lock_free_accounts
SELECT {a.account} FROM json_each(?1) AS w CROSS JOIN accounts AS a ON a.account_id = w.value ORDER BY a.account_id;

-- The same rows for those who only look.
-- name: get_accounts
SELECT {a.account} FROM json_each(?1) AS w CROSS JOIN accounts AS a ON a.account_id = w.value ORDER BY a.account_id;

-- SQLite's clock is the process's, in milliseconds; the version says whether a price or skill changed.
-- name: clock
SELECT
    CAST(strftime('%s', 'now') AS INTEGER) * 1000000 + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000,
    version
FROM catalogue;

-- What there is to burn, pin and expire; spent lots stay out of the way.
-- name: live_lots
SELECT {l.lot} FROM json_each(?1) AS w CROSS JOIN lots AS l ON l.account_id = w.value AND l.live
ORDER BY l.account_id, l.lot_id;

-- Holds that nobody settled in time.
-- name: due_holds
SELECT {h.hold} FROM json_each(?1) AS w
CROSS JOIN holds AS h ON h.account_id = w.value AND h.state IN ('open', 'dispatched') AND h.expires_at <= ?2
ORDER BY h.account_id, h.hold_id;

-- Whether a caller's intents were carried out before.
-- name: find_keys
SELECT {k.remembered} FROM json_each(?1) AS w
CROSS JOIN idempotency_keys AS k
    ON k.account_id = json_extract(w.value, '$[0]') AND k.key = json_extract(w.value, '$[1]');

-- The holds that a batch names.
-- name: find_holds
SELECT {h.hold} FROM json_each(?1) AS w
CROSS JOIN holds AS h ON h.account_id = json_extract(w.value, '$[0]') AND h.hold_id = json_extract(w.value, '$[1]');

-- The lots that a hold or a transaction names, spent ones too.
-- name: find_lots
SELECT {l.lot} FROM json_each(?1) AS w
CROSS JOIN lots AS l ON l.account_id = json_extract(w.value, '$[0]') AND l.lot_id = json_extract(w.value, '$[1]');

-- A transaction's id carries its seq: finding it by id is finding it by primary key.
-- name: find_transactions
SELECT {t.transaction} FROM json_each(?1) AS w
CROSS JOIN transactions AS t ON t.account_id = json_extract(w.value, '$[0]') AND t.seq = json_extract(w.value, '$[1]');

-- What was given back of a charge already.
-- name: find_refunds
SELECT {t.transaction} FROM json_each(?1) AS w
CROSS JOIN transactions AS t
    ON t.account_id = json_extract(w.value, '$[0]') AND t.refund_of = json_extract(w.value, '$[1]')
ORDER BY t.account_id, t.seq;

-- What a run that ends has in flight.
-- name: find_calls
SELECT {hold} FROM holds WHERE account_id = ?1 AND run = ?2 AND state IN ('open', 'dispatched')
ORDER BY account_id, hold_id;

-- Who spends in a member's name, with the member's own limits.
-- name: find_members
SELECT {m.member} FROM json_each(?1) AS w
CROSS JOIN members AS m ON m.account_id = json_extract(w.value, '$[0]') AND m.member = json_extract(w.value, '$[1]');

-- Only what a charge changes.
-- name: update_spent
UPDATE accounts SET posted = ?2, spent = ?3, seq = ?4, head = ?5, recorded_at = ?6, limits = ?7 WHERE account_id = ?1;

-- What holds and debt change as well.
-- name: update_balances
UPDATE accounts SET
    posted = ?2, held = ?3, debt = ?4, spent = ?5, open_holds = ?6, holds_opened = ?7, seq = ?8, head = ?9,
    recorded_at = ?10, limits = ?11
WHERE account_id = ?1;

-- The whole row: a profile, a status, a renewal.
-- name: update_accounts
UPDATE accounts SET
    email = ?2, name = ?3, plan = ?4, status = ?5, overage = ?6, timezone = ?7, metadata = ?8, posted = ?9, held = ?10,
    debt = ?11, spent = ?12, open_holds = ?13, holds_opened = ?14, seq = ?15, head = ?16, last_reset = ?17,
    next_reset = ?18, due_at = ?19, created_at = ?20, recorded_at = ?21, profile_digest = ?22, allowance = ?23,
    overused = ?24, ends_at = ?25, anchored_at = ?26, next_plan = ?27, next_plan_at = ?28, next_plan_days = ?29,
    trialed_at = ?30, limits = ?31
WHERE account_id = ?1;

-- Only what paying or pinning changes.
-- name: update_lots
UPDATE lots SET remaining = ?3, held = ?4, live = ?5 WHERE account_id = ?1 AND lot_id = ?2;

-- What starting, expiring or voiding a lot changes.
-- name: update_ended_lots
UPDATE lots SET remaining = ?3, held = ?4, ended_at = ?5, seq = ?6, started = ?7, live = ?8
WHERE account_id = ?1 AND lot_id = ?2;

-- Only what settling a hold changes.
-- name: update_settled_holds
UPDATE holds SET
    state = ?3, captured = ?4, settled_at = ?5, settled_seq = ?6, settlement = ?7, digest = ?8
WHERE account_id = ?1 AND hold_id = ?2;

-- A hold grows, leaves or is settled.
-- name: update_holds
UPDATE holds SET
    state = ?3, amount = ?4, captured = ?5, measured = ?6, slices = ?7, skill = ?8, model = ?9, price_version = ?10,
    usage = ?11, member = ?12, overage = ?13, on_expiry = ?14, actor = ?15, description = ?16, metadata = ?17,
    idempotency_key = ?18, expires_at = ?19, created_at = ?20, settled_at = ?21, settled_seq = ?22, settlement = ?23,
    digest = ?24, run = ?25, budget = ?26, counted_at = ?27
WHERE account_id = ?1 AND hold_id = ?2;

-- What a member may, or what its limits have counted.
-- name: update_members
UPDATE members SET status = ?3, created_at = ?4, limits = ?5, digest = ?6 WHERE account_id = ?1 AND member = ?2;

-- Added to the rows of this writer's own slot. A rest that reaches one whole is carried over: it never overflows.
-- name: add_totals
INSERT INTO totals (
    slot, day, type, skill, model, plan, transactions, credits, nanos, owed_credits, owed_nanos, costed, costed_credits,
    costed_nanos, cost_usd, cost_picos
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
ON CONFLICT (slot, day, type, skill, model, plan) DO UPDATE SET
    transactions = transactions + excluded.transactions,
    credits = credits + excluded.credits + (nanos + excluded.nanos) / 1000000000,
    nanos = (nanos + excluded.nanos) % 1000000000,
    owed_credits = owed_credits + excluded.owed_credits + (owed_nanos + excluded.owed_nanos) / 1000000000,
    owed_nanos = (owed_nanos + excluded.owed_nanos) % 1000000000,
    costed = costed + excluded.costed,
    costed_credits = costed_credits + excluded.costed_credits + (costed_nanos + excluded.costed_nanos) / 1000000000,
    costed_nanos = (costed_nanos + excluded.costed_nanos) % 1000000000,
    cost_usd = cost_usd + excluded.cost_usd + (cost_picos + excluded.cost_picos) / 1000000000000,
    cost_picos = (cost_picos + excluded.cost_picos) % 1000000000000;

-- The paid part of them, likewise.
-- name: add_paid_totals
INSERT INTO paid_totals (slot, day, type, skill, model, plan, currency, costed, credits, nanos, money, picos)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
ON CONFLICT (slot, day, type, skill, model, plan, currency, costed) DO UPDATE SET
    credits = credits + excluded.credits + (nanos + excluded.nanos) / 1000000000,
    nanos = (nanos + excluded.nanos) % 1000000000,
    money = money + excluded.money + (picos + excluded.picos) / 1000000000000,
    picos = (picos + excluded.picos) % 1000000000000;

-- What is owed by source and expiry, likewise.
-- name: add_lot_totals
INSERT INTO lot_totals (slot, source, expires, currency, credits, nanos, money, picos)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT (slot, source, expires, currency) DO UPDATE SET
    credits = credits + excluded.credits + (nanos + excluded.nanos) / 1000000000,
    nanos = (nanos + excluded.nanos) % 1000000000,
    money = money + excluded.money + (picos + excluded.picos) / 1000000000000,
    picos = (picos + excluded.picos) % 1000000000000;
