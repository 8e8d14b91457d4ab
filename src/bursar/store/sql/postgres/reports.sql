-- Reports for everybody: read from the totals of all writers' slots, never from the ledger.

-- What was used on the days from $1 to before $2: by day $3, skill $4, model $5 and plan $6, as far as
-- these are true; of one skill $7, model $8, plan $9; the rows after one of these four, $10 to $13.
-- name: sum_usage
SELECT
    g.day, g.skill, g.model, g.plan,
    sum(CASE WHEN g.type = 'CONSUMPTION' THEN g.transactions ELSE 0 END)::bigint AS charges,
    sum(CASE WHEN g.type = 'CONSUMPTION' THEN g.credits ELSE 0 END)::bigint AS charged_credits,
    sum(CASE WHEN g.type = 'CONSUMPTION' THEN g.nanos ELSE 0 END)::bigint AS charged_nanos,
    sum(CASE WHEN g.type = 'REFUND' THEN g.transactions ELSE 0 END)::bigint AS refunds,
    sum(CASE WHEN g.type = 'REFUND' THEN g.credits ELSE 0 END)::bigint AS refunded_credits,
    sum(CASE WHEN g.type = 'REFUND' THEN g.nanos ELSE 0 END)::bigint AS refunded_nanos,
    sum(g.owed_credits)::bigint AS owed_credits,
    sum(g.owed_nanos)::bigint AS owed_nanos,
    sum(g.costed)::bigint AS costed,
    sum(g.costed_credits)::bigint AS costed_credits,
    sum(g.costed_nanos)::bigint AS costed_nanos,
    sum(g.cost_usd)::bigint AS cost_usd,
    sum(g.cost_picos)::bigint AS cost_picos
FROM (
    SELECT
        CASE WHEN $3::boolean THEN day - date '1970-01-01' ELSE 0 END AS day,
        CASE WHEN $4::boolean THEN skill ELSE '' END AS skill,
        CASE WHEN $5::boolean THEN model ELSE '' END AS model,
        CASE WHEN $6::boolean THEN plan ELSE '' END AS plan,
        type, transactions, credits, nanos, owed_credits, owed_nanos, costed, costed_credits, costed_nanos, cost_usd,
        cost_picos
    FROM totals
    WHERE day >= date '1970-01-01' + $1::integer AND day < date '1970-01-01' + $2::integer AND type IN ('CONSUMPTION', 'REFUND')
        AND ($7::text IS NULL OR skill = $7::text)
        AND ($8::text IS NULL OR model = $8::text)
        AND ($9::text IS NULL OR plan = $9::text)
) AS g
WHERE (g.day, g.skill, g.model, g.plan) > ($10::bigint, $11::text, $12::text, $13::text)
GROUP BY g.day, g.skill, g.model, g.plan
ORDER BY g.day, g.skill, g.model, g.plan LIMIT $14::bigint;

-- The paid part of the same rows, up to $14 to $17.
-- name: sum_paid_usage
SELECT
    g.day, g.skill, g.model, g.plan, g.currency, g.costed, sum(g.credits)::bigint AS credits, sum(g.nanos)::bigint AS nanos,
    sum(g.money)::bigint AS money, sum(g.picos)::bigint AS picos
FROM (
    SELECT
        CASE WHEN $3::boolean THEN day - date '1970-01-01' ELSE 0 END AS day,
        CASE WHEN $4::boolean THEN skill ELSE '' END AS skill,
        CASE WHEN $5::boolean THEN model ELSE '' END AS model,
        CASE WHEN $6::boolean THEN plan ELSE '' END AS plan,
        currency, costed, credits, nanos, money, picos
    FROM paid_totals
    WHERE day >= date '1970-01-01' + $1::integer AND day < date '1970-01-01' + $2::integer AND type IN ('CONSUMPTION', 'REFUND')
        AND ($7::text IS NULL OR skill = $7::text)
        AND ($8::text IS NULL OR model = $8::text)
        AND ($9::text IS NULL OR plan = $9::text)
) AS g
WHERE (g.day, g.skill, g.model, g.plan) > ($10::bigint, $11::text, $12::text, $13::text)
    AND (g.day, g.skill, g.model, g.plan) <= ($14::bigint, $15::text, $16::text, $17::text)
GROUP BY g.day, g.skill, g.model, g.plan, g.currency, g.costed
ORDER BY g.day, g.skill, g.model, g.plan, g.currency, g.costed;

-- What is owed by expiry, source and currency, the rows after $1 to $3. Debt stands in no row of it.
-- name: sum_lots
SELECT
    expires, source, currency, sum(credits)::bigint AS credits, sum(nanos)::bigint AS nanos, sum(money)::bigint AS money,
    sum(picos)::bigint AS picos
FROM lot_totals
WHERE (expires, source, currency) > ($1::bigint, $2::text, $3::text) AND source <> ''
GROUP BY expires, source, currency
ORDER BY expires, source, currency LIMIT $4::bigint;

-- All of it by currency; what expires before the day $1 apart, and the debt.
-- name: sum_owed
SELECT
    currency, source = '' AS is_debt, expires < $1::bigint AS is_past, sum(credits)::bigint AS credits,
    sum(nanos)::bigint AS nanos, sum(money)::bigint AS money, sum(picos)::bigint AS picos
FROM lot_totals
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3;
