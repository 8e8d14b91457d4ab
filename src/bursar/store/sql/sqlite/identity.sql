-- Who may sign in, what they keep here, and small facts about this database.

-- An email that is taken is refused by the primary key.
-- name: insert_login
INSERT INTO logins (email, password_hash, account_id, role, created_at)
VALUES (?1, ?2, ?3, ?4, ?5);

-- Signing in.
-- name: find_login
SELECT email, password_hash, account_id, role, created_at FROM logins WHERE email = ?1;

-- How one can sign in to this account: a token outlives the way by which it was got, and must not count then.
-- name: ways_into_account
SELECT 'pwd' AS way FROM logins WHERE account_id = ?1 AND password_hash <> ''
UNION
SELECT 'fed' AS way FROM identities WHERE account_id = ?1;

-- Its address was proven to be somebody's, who signs in by a provider from now on.
-- name: disown_login
UPDATE logins SET password_hash = ?2 WHERE email = ?1;

-- One person of one issuer is refused twice by the primary key.
-- name: insert_identity
INSERT INTO identities (issuer, subject, account_id, created_at)
VALUES (?1, ?2, ?3, ?4);

-- Signing in by a provider.
-- name: find_identity
SELECT account_id FROM identities WHERE issuer = ?1 AND subject = ?2;

-- An account that an operator opened for this address (as it is known, as it was written), and nobody signs in to yet.
-- name: find_unclaimed_account
SELECT a.account_id FROM accounts AS a
WHERE (a.email = ?1 OR a.email = ?2) AND a.status <> 'closed'
    AND NOT EXISTS (SELECT 1 FROM logins AS l WHERE l.account_id = a.account_id)
    AND NOT EXISTS (SELECT 1 FROM identities AS i WHERE i.account_id = a.account_id)
ORDER BY a.created_at, a.account_id LIMIT 1;

-- Only the digest is kept; the secret is shown once.
-- name: insert_api_key
INSERT INTO api_keys (id, digest, prefix, role, account_id, name, may_grant, created_at, expires_at, revoked_at)
VALUES (
    ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9,
    ?10
);

-- Each request with a key: one look into the unique index.
-- name: find_api_key
SELECT id, digest, prefix, role, account_id, name, may_grant, created_at, expires_at, revoked_at
FROM api_keys WHERE digest = ?1;

-- One key by its id, for those who administer keys.
-- name: get_api_key
SELECT id, digest, prefix, role, account_id, name, may_grant, created_at, expires_at, revoked_at
FROM api_keys WHERE id = ?1;

-- All keys, or one account's own (?1), after a key id (?2).
-- name: list_api_keys
SELECT id, digest, prefix, role, account_id, name, may_grant, created_at, expires_at, revoked_at
FROM api_keys
WHERE (?1 IS NULL OR account_id = ?1) AND id > coalesce(?2, '')
ORDER BY id LIMIT ?3;

-- A second revocation keeps the first one's time and touches no row.
-- name: revoke_api_key
UPDATE api_keys SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL;

-- Whoever had made them may not be whose account it is.
-- name: revoke_account_keys
UPDATE api_keys SET revoked_at = ?2 WHERE account_id = ?1 AND revoked_at IS NULL;

-- What a provider made and a caller fetches.
-- name: insert_media
INSERT INTO media (id, account_id, content_type, content, created_at)
VALUES (?1, ?2, ?3, ?4, ?5);

-- The newest of a kind, which takes the place of the one before.
-- name: put_media
INSERT INTO media (id, account_id, content_type, content, created_at)
VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (id) DO UPDATE SET content = excluded.content, created_at = excluded.created_at;

-- One picture.
-- name: find_media
SELECT id, account_id, content_type, content, created_at FROM media WHERE id = ?1;

-- Such as whether a preset was seeded.
-- name: get_setting
SELECT value FROM settings WHERE name = ?1;

-- The first writer wins: the count says who it was.
-- name: put_setting
INSERT INTO settings (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING;

-- What must change later, such as a rotated key id.
-- name: replace_setting
INSERT INTO settings (name, value) VALUES (?1, ?2)
ON CONFLICT (name) DO UPDATE SET value = excluded.value;
