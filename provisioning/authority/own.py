"""The kind `own`: the issuing authority that `root.py` has made."""

from pathlib import Path

from provisioning.authority.errors import AuthorityError
from provisioning.authority.issuer import Issuer, open_issuer, pem_text
from provisioning.authority.keys import read_certificates
from provisioning.authority.passphrase import THE_ISSUING, issuing_file, passphrase_of
from provisioning.authority.root import ISSUING, ISSUING_KEY, ROOT, has_issuing
from provisioning.authority.settings import AuthoritySettings


def open_own(settings: AuthoritySettings, folder: Path) -> Issuer:
    """Open the issuing key.

    Raises:
        AuthorityError: there is none, or its passphrase is wrong.
    """
    if not has_issuing(folder):
        raise AuthorityError(
            f"there is no authority in {folder}; make one with: promptd-fleet authority create"
        )
    return open_issuer(
        folder / ISSUING,
        folder / ISSUING_KEY,
        passphrase_of(THE_ISSUING, issuing_file(folder, settings.passphrase_file)),
        pem_text(read_certificates(folder / ROOT)),
        settings.backdate_s,
    )
