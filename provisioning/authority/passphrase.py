"""Where the passphrase of a key comes from: a file, a systemd credential, or the person at the terminal."""

import getpass
import sys
from collections.abc import Callable
from pathlib import Path

from agent.host.systemd import credentials_dir
from provisioning.authority.errors import AuthorityError

CREDENTIAL = "authority-passphrase"
"""The name for LoadCredential= of the unit that signs."""
SHORTEST_CHARACTERS = 8
THE_ROOT, THE_ISSUING = "the root authority", "the issuing authority"
_TYPED: dict[str, bytes] = {}
"""What was made up in this process: nobody is asked for it a third time."""

Passphrase = Callable[[], bytes]
"""Asks only when a key really has to be opened."""


def passphrase_of(what: str, file: Path | None) -> Passphrase:
    """Return how to learn the passphrase of a key, called `what` before a person.

    The returned function raises:
        AuthorityError: the file cannot be read, or nobody can be asked.
    """

    def read() -> bytes:
        if file:
            return _from_file(file)
        return _TYPED.get(what) or _from_person(f"Passphrase of {what}: ").encode()

    return read


def new_passphrase(what: str, file: Path | None) -> bytes:
    """Return the passphrase for a key that is about to be made; a person types it twice.

    Raises:
        AuthorityError: it is too short, was mistyped, or cannot be learnt.
    """
    if file:
        return _long_enough(_from_file(file))
    question = f"New passphrase of {what}, {SHORTEST_CHARACTERS} characters or more: "
    first = _long_enough(_from_person(question).encode())
    if _from_person("Again: ").encode() != first:
        raise AuthorityError("the two passphrases differ; nothing was made, try again")
    _TYPED[what] = first
    return first


def issuing_file(folder: Path, given: Path | None) -> Path | None:
    """Return where the passphrase of the issuing key is written: a file, or what systemd hands over."""
    credential = (credentials_dir() or Path("/nonexistent")) / CREDENTIAL
    written = folder / given if given else None
    return credential if credential.is_file() and not (written and written.is_file()) else written


def _from_file(file: Path) -> bytes:
    try:
        return file.read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise AuthorityError(f"cannot read the passphrase in {file}: {error.strerror}") from error


def _from_person(prompt: str) -> str:
    if not sys.stdin.isatty():
        raise AuthorityError(
            "there is no terminal to ask for the passphrase; set authority.passphrase_file, or the systemd "
            f"credential {CREDENTIAL}"
        )
    return getpass.getpass(prompt)


def _long_enough(passphrase: bytes) -> bytes:
    if len(passphrase) < SHORTEST_CHARACTERS:
        raise AuthorityError(f"the passphrase is too short; take {SHORTEST_CHARACTERS} characters or more")
    return passphrase
