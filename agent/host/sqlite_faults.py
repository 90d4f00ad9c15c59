"""What SQLite says of a disk: what may pass by itself, and what a person can do (sqlite.org/rescode.html)."""

import sqlite3


def may_pass(error: sqlite3.Error) -> bool:
    """Tell a disk that is full or fails, or a file that somebody else holds, from what will not pass."""
    return _result_code(error) in (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
    )


def is_damaged(error: sqlite3.Error) -> bool:
    """Tell a file whose content is broken: only another one helps."""
    return _result_code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def told(error: sqlite3.Error) -> str:
    """Return what went wrong, and what a person can do about it."""
    match _result_code(error):
        case sqlite3.SQLITE_BUSY:
            return f"{error}; end the other program that holds it"
        case sqlite3.SQLITE_FULL:
            return f"{error}; make room on the disk"
        case _:
            return f"{error}; check the disk, and make room on it"


def _result_code(error: sqlite3.Error) -> int:
    """Return the primary result code, without the extension in its upper bits."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
