"""Backup and restore: one portable file, from either database into either.

A backup is a zip archive: `TABLE.ndjson` for each table, a row a line as a JSON array in the order of its columns, and
`manifest.json` with the schema's revision and each table's columns, number of rows and SHA-256. In it times are
microseconds since 1970, days count from 1970-01-01, booleans are 0 and 1, bytes are base64; the same whichever
database it came from.

    backup   one moment of the whole database, read beside a running server; the file appears when it is whole
    restore  all or nothing, into a ledger that is empty, after the whole file was found sound

    archive     the file: what is in it, whether it is sound, how values stand in it
    writing     from a database into a file
    restoring   from a file into a database
    databases   one connection in one tx, the same for both databases

Not in it: the signing secrets and the pictures in the data folder (the database has the pictures as well).
"""

from bursar.backup.archive import Manifest, check_backup
from bursar.backup.restoring import NotEmpty, restore_backup
from bursar.backup.writing import write_backup

__all__ = ["Manifest", "NotEmpty", "check_backup", "restore_backup", "write_backup"]
