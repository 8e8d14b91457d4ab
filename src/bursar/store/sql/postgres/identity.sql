-- Who may sign in, what they keep here, and small facts about this database.

-- An email that is taken is refused by the primary key.
-- name: insert_login
INSERT INTO logins (email, password_hash, account_id, role, created_at)
VALUES ($1::text, $2::text, $3::text, $4::text, $5::timestamptz);

-- Signing in.
-- name: find_login
SELECT email, password_hash, account_id, role, created_at FROM logins WHERE email = $1::text;

-- Whether somebody signs in to this account: a token outlives its login, and must not count then.
-- name: login_of_account
SELECT email FROM logins WHERE account_id = $1::text LIMIT 1;

-- Only the digest is kept; the secret is shown once.
-- name: insert_api_key
INSERT INTO api_keys (id, digest, prefix, role, account_id, name, may_grant, created_at, expires_at, revoked_at)
VALUES (
    $1::text, $2::bytea, $3::text, $4::text, $5::text, $6::text, $7::boolean, $8::timestamptz, $9::timestamptz,
    $10::timestamptz
);

-- Each request with a key: one look into the unique index.
-- name: find_api_key
SELECT id, digest, prefix, role, account_id, name, may_grant, created_at, expires_at, revoked_at
FROM api_keys WHERE digest = $1::bytea;

-- One key by its id, for those who administer keys.
-- name: get_api_key
SELECT id, digest, prefix, role, account_id, name, may_grant, created_at, expires_at, revoked_at
FROM api_keys WHERE id = $1::text;

-- All keys, or one account's own ($1), after a key id ($2).
-- name: list_api_keys
SELECT id, digest, prefix, role, account_id, name, may_grant, created_at, expires_at, revoked_at
FROM api_keys
WHERE ($1::text IS NULL OR account_id = $1::text) AND id > coalesce($2::text, '')
ORDER BY id LIMIT $3::bigint;

-- A second revocation keeps the first one's time and touches no row.
-- name: revoke_api_key
UPDATE api_keys SET revoked_at = $2::timestamptz WHERE id = $1::text AND revoked_at IS NULL;

-- What a provider made and a caller fetches.
-- name: insert_media
INSERT INTO media (id, account_id, content_type, content, created_at)
VALUES ($1::text, $2::text, $3::text, $4::bytea, $5::timestamptz);

-- One picture.
-- name: find_media
SELECT id, account_id, content_type, content, created_at FROM media WHERE id = $1::text;

-- Such as whether a preset was seeded.
-- name: get_setting
SELECT value FROM settings WHERE name = $1::text;

-- The first writer wins: the count says who it was.
-- name: put_setting
INSERT INTO settings (name, value) VALUES ($1::text, $2::text) ON CONFLICT (name) DO NOTHING;

-- What must change later, such as a rotated key id.
-- name: replace_setting
INSERT INTO settings (name, value) VALUES ($1::text, $2::text)
ON CONFLICT (name) DO UPDATE SET value = excluded.value;
