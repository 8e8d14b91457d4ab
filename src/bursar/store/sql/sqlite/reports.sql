-- Reports for everybody: read from the totals of all writers' slots, never from the ledger.

-- What was used on the days from ?1 to before ?2: by day ?3, skill ?4, model ?5 and plan ?6, as far as
-- these are true; of one skill ?7, model ?8, plan ?9; the rows after one of these four, ?10 to ?13.
-- name: sum_usage
SELECT
    g.day, g.skill, g.model, g.plan,
    sum(CASE WHEN g.type = 'CONSUMPTION' THEN g.transactions ELSE 0 END) AS charges,
    sum(CASE WHEN g.type = 'CONSUMPTION' THEN g.credits ELSE 0 END) AS charged_credits,
    sum(CASE WHEN g.type = 'CONSUMPTION' THEN g.nanos ELSE 0 END) AS charged_nanos,
    sum(CASE WHEN g.type = 'REFUND' THEN g.transactions ELSE 0 END) AS refunds,
    sum(CASE WHEN g.type = 'REFUND' THEN g.credits ELSE 0 END) AS refunded_credits,
    sum(CASE WHEN g.type = 'REFUND' THEN g.nanos ELSE 0 END) AS refunded_nanos,
    sum(g.owed_credits) AS owed_credits,
    sum(g.owed_nanos) AS owed_nanos,
    sum(g.costed) AS costed,
    sum(g.costed_credits) AS costed_credits,
    sum(g.costed_nanos) AS costed_nanos,
    sum(g.cost_usd) AS cost_usd,
    sum(g.cost_picos) AS cost_picos
FROM (
    SELECT
        CASE WHEN ?3 THEN day ELSE 0 END AS day,
        CASE WHEN ?4 THEN skill ELSE '' END AS skill,
        CASE WHEN ?5 THEN model ELSE '' END AS model,
        CASE WHEN ?6 THEN plan ELSE '' END AS plan,
        type, transactions, credits, nanos, owed_credits, owed_nanos, costed, costed_credits, costed_nanos, cost_usd,
        cost_picos
    FROM totals
    WHERE day >= ?1 AND day < ?2 AND type IN ('CONSUMPTION', 'REFUND')
        AND (?7 IS NULL OR skill = ?7)
        AND (?8 IS NULL OR model = ?8)
        AND (?9 IS NULL OR plan = ?9)
) AS g
WHERE (g.day, g.skill, g.model, g.plan) > (?10, ?11, ?12, ?13)
GROUP BY g.day, g.skill, g.model, g.plan
ORDER BY g.day, g.skill, g.model, g.plan LIMIT ?14;

-- The paid part of the same rows, up to ?14 to ?17.
-- name: sum_paid_usage
SELECT
    g.day, g.skill, g.model, g.plan, g.currency, g.costed, sum(g.credits) AS credits, sum(g.nanos) AS nanos,
    sum(g.money) AS money, sum(g.picos) AS picos
FROM (
    SELECT
        CASE WHEN ?3 THEN day ELSE 0 END AS day,
        CASE WHEN ?4 THEN skill ELSE '' END AS skill,
        CASE WHEN ?5 THEN model ELSE '' END AS model,
        CASE WHEN ?6 THEN plan ELSE '' END AS plan,
        currency, costed, credits, nanos, money, picos
    FROM paid_totals
    WHERE day >= ?1 AND day < ?2 AND type IN ('CONSUMPTION', 'REFUND')
        AND (?7 IS NULL OR skill = ?7)
        AND (?8 IS NULL OR model = ?8)
        AND (?9 IS NULL OR plan = ?9)
) AS g
WHERE (g.day, g.skill, g.model, g.plan) > (?10, ?11, ?12, ?13)
    AND (g.day, g.skill, g.model, g.plan) <= (?14, ?15, ?16, ?17)
GROUP BY g.day, g.skill, g.model, g.plan, g.currency, g.costed
ORDER BY g.day, g.skill, g.model, g.plan, g.currency, g.costed;

-- What is owed by expiry, source and currency, the rows after ?1 to ?3. Debt stands in no row of it.
-- name: sum_lots
SELECT
    expires, source, currency, sum(credits) AS credits, sum(nanos) AS nanos, sum(money) AS money,
    sum(picos) AS picos
FROM lot_totals
WHERE (expires, source, currency) > (?1, ?2, ?3) AND source <> ''
GROUP BY expires, source, currency
ORDER BY expires, source, currency LIMIT ?4;

-- All of it by currency; what expires before the day ?1 apart, and the debt.
-- name: sum_owed
SELECT
    currency, source = '' AS is_debt, expires < ?1 AS is_past, sum(credits) AS credits,
    sum(nanos) AS nanos, sum(money) AS money, sum(picos) AS picos
FROM lot_totals
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3;
