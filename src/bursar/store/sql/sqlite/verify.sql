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

-- One account's members after a member ?2.
-- name: scan_members
SELECT {member} FROM members WHERE account_id = ?1 AND member > ?2
ORDER BY account_id, member LIMIT ?3;

-- The totals of all slots together, to be compared with what the transactions say.
-- name: scan_totals
SELECT
    day, type, skill, model, plan,
    sum(transactions) AS transactions, sum(credits) AS credits, sum(nanos) AS nanos,
    sum(owed_credits) AS owed_credits, sum(owed_nanos) AS owed_nanos, sum(costed) AS costed,
    sum(costed_credits) AS costed_credits, sum(costed_nanos) AS costed_nanos, sum(cost_usd) AS cost_usd,
    sum(cost_picos) AS cost_picos
FROM totals
GROUP BY day, type, skill, model, plan
ORDER BY day, type, skill, model, plan;

-- The paid part of them.
-- name: scan_paid_totals
SELECT
    day, type, skill, model, plan, currency, costed, sum(credits) AS credits, sum(nanos) AS nanos,
    sum(money) AS money, sum(picos) AS picos
FROM paid_totals
GROUP BY day, type, skill, model, plan, currency, costed
ORDER BY day, type, skill, model, plan, currency, costed;

-- What is owed by source and expiry.
-- name: scan_lot_totals
SELECT
    source, expires, currency, sum(credits) AS credits, sum(nanos) AS nanos, sum(money) AS money,
    sum(picos) AS picos
FROM lot_totals
GROUP BY source, expires, currency
ORDER BY source, expires, currency;

-- Everybody's transactions after an account and a seq, as much of them as the totals are made of.
-- name: scan_counted
SELECT {counted} FROM transactions
WHERE (account_id, seq) > (?1, ?2)
ORDER BY account_id, seq LIMIT ?3;

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

-- Members whose account row is gone.
-- name: orphan_members
SELECT m.account_id, m.member FROM members AS m
WHERE NOT EXISTS (SELECT 1 FROM accounts AS a WHERE a.account_id = m.account_id)
ORDER BY m.account_id, m.member LIMIT ?1;
