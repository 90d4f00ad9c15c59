"""An authority for those who have none: a root that is carried away, and an issuing authority that stays.

Made once. `root.key` is needed again only for the next issuing certificate; without it everything else works.
"""

import datetime as dt
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from provisioning.authority import profile
from provisioning.authority.errors import AuthorityError
from provisioning.authority.keys import encrypted, open_key, read_certificates
from provisioning.authority.passphrase import Passphrase
from provisioning.written import write

ROOT, ROOT_KEY = "root.pem", "root.key"
ISSUING, ISSUING_KEY = "issuing.pem", "issuing.key"
ROOT_LIFE, ISSUING_LIFE = dt.timedelta(days=30 * 365), dt.timedelta(days=10 * 365)
BACKDATE = dt.timedelta(days=1)
PUBLIC, SECRET = 0o644, 0o600


def has_root(folder: Path) -> bool:
    """Tell whether a root was made here, wherever its key is now."""
    return (folder / ROOT).is_file()


def has_issuing(folder: Path) -> bool:
    """Tell whether an issuing authority was made here."""
    return (folder / ISSUING).is_file() and (folder / ISSUING_KEY).is_file()


def make_root(folder: Path, name: str, passphrase: bytes) -> None:
    """Make the root; the key is on the disk before the certificate, which says that all is there.

    Raises:
        AuthorityError: there is one already, or it cannot be written.
    """
    if has_root(folder):
        raise AuthorityError(
            f"{folder / ROOT} is there already; every certificate of the fleet depends on it"
        )
    key = ec.generate_private_key(ec.SECP384R1())
    builder = profile.authority(name, key.public_key(), None, _life(ROOT_LIFE), path_length=1)
    write(folder / ROOT_KEY, encrypted(key, passphrase), SECRET)
    write(folder / ROOT, _pem(profile.signed(builder, key)), PUBLIC)


def make_issuing(folder: Path, name: str, root_passphrase: Passphrase, passphrase: bytes) -> None:
    """Make an issuing authority, or the next one in its place; it signs members, and no further authorities.

    Raises:
        AuthorityError: the root's key is not here, its passphrase is wrong, or nothing can be written.
    """
    if not (folder / ROOT_KEY).is_file():
        raise AuthorityError(
            f"the root's key is not in {folder}; bring {ROOT_KEY} back for a moment, and carry it away again"
        )
    (root,) = read_certificates(folder / ROOT)
    root_key = open_key(folder / ROOT_KEY, root_passphrase)
    key = ec.generate_private_key(ec.SECP384R1())
    begin, end = _life(ISSUING_LIFE)
    life = max(begin, root.not_valid_before_utc), min(end, root.not_valid_after_utc)
    builder = profile.authority(name, key.public_key(), root.subject, life, path_length=0)
    write(folder / ISSUING_KEY, encrypted(key, passphrase), SECRET)
    write(folder / ISSUING, _pem(profile.signed(builder, root_key)), PUBLIC)


def _life(length: dt.timedelta) -> profile.Life:
    now = dt.datetime.now(dt.UTC)
    return now - BACKDATE, now + length


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)
