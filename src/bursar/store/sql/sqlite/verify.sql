-- Every row once, in key order, a page at a time.

-- After an account id ?1.
-- name: scan_accounts
SELECT {account} FROM accounts WHERE account_id > ?1 ORDER BY account_id LIMIT ?2;

-- One account's transactions after a seq ?2.
-- name: scan_transactions
SELECT {transaction} FROM transactions WHERE account_id = ?1 AND seq > ?2
ORDER BY account_id, seq LIMIT ?3;

-- One account's lots after a lot id ?2.
-- name: scan_lots
SELECT {lot} FROM lots WHERE account_id = ?1 AND lot_id > ?2
ORDER BY account_id, lot_id LIMIT ?3;

-- One account's holds after a hold id ?2.
-- name: scan_holds
SELECT {hold} FROM holds WHERE account_id = ?1 AND hold_id > ?2
ORDER BY account_id, hold_id LIMIT ?3;

-- One account's idempotency keys after a key ?2.
-- name: scan_keys
SELECT {remembered} FROM idempotency_keys WHERE account_id = ?1 AND key > ?2
ORDER BY account_id, key LIMIT ?3;

-- The totals of all slots together, to be compared with what the transactions say.
-- name: scan_totals
SELECT
    day, type, skill, model, plan, sum(transactions) AS transactions,
    sum(credits) AS credits, sum(nanos) AS nanos
FROM totals
GROUP BY day, type, skill, model, plan
ORDER BY day, type, skill, model, plan;

-- What the totals must be, as far as accounts after ?1 up to ?2 make them.
-- name: sum_transactions
SELECT
    effective_at / 86400000000 AS day, type, coalesce(skill, '') AS skill, coalesce(model, '') AS model,
    coalesce(plan, '') AS plan, count(*) AS transactions,
    sum(amount / 1000000000) AS credits, sum(amount % 1000000000) AS nanos
FROM transactions
WHERE account_id > ?1 AND account_id <= ?2
GROUP BY 1, 2, 3, 4, 5;

-- Transactions whose account row is gone.
-- name: orphan_transactions
SELECT t.account_id, min(t.seq) FROM transactions AS t
WHERE NOT EXISTS (SELECT 1 FROM accounts AS a WHERE a.account_id = t.account_id)
GROUP BY t.account_id ORDER BY t.account_id LIMIT ?1;

-- Lots whose account row is gone.
-- name: orphan_lots
SELECT l.account_id, l.lot_id FROM lots AS l
WHERE NOT EXISTS (SELECT 1 FROM accounts AS a WHERE a.account_id = l.account_id)
ORDER BY l.account_id, l.lot_id LIMIT ?1;

-- Holds whose account row is gone.
-- name: orphan_holds
SELECT h.account_id, h.hold_id FROM holds AS h
WHERE NOT EXISTS (SELECT 1 FROM accounts AS a WHERE a.account_id = h.account_id)
ORDER BY h.account_id, h.hold_id LIMIT ?1;

-- Idempotency keys whose account row is gone.
-- name: orphan_keys
SELECT k.account_id, k.key FROM idempotency_keys AS k
WHERE NOT EXISTS (SELECT 1 FROM accounts AS a WHERE a.account_id = k.account_id)
ORDER BY k.account_id, k.key LIMIT ?1;
