"""The kind `files`: an issuing certificate and its key that somebody else has made."""

from pathlib import Path

from cryptography import x509

from provisioning.authority.errors import AuthorityError
from provisioning.authority.issuer import Issuer, open_issuer, pem_text
from provisioning.authority.keys import read_certificates
from provisioning.authority.passphrase import THE_ISSUING, issuing_file, passphrase_of
from provisioning.authority.settings import AuthoritySettings


def open_files(settings: AuthoritySettings, folder: Path) -> Issuer:
    """Open the issuing key.

    Raises:
        AuthorityError: a file cannot be read, or nobody says whom devices shall trust.
    """
    certificate_file, key_file = settings.certificate_file, settings.key_file
    assert certificate_file  # noqa: S101 -- AuthoritySettings demands both of this kind
    assert key_file  # noqa: S101 -- as above
    return open_issuer(
        folder / certificate_file,
        folder / key_file,
        passphrase_of(THE_ISSUING, issuing_file(folder, settings.passphrase_file)),
        pem_text(_authorities(settings, folder, folder / certificate_file)),
        settings.backdate_s,
    )


def _authorities(settings: AuthoritySettings, folder: Path, certificate_file: Path) -> list[x509.Certificate]:
    if settings.authorities_file:
        return read_certificates(folder / settings.authorities_file)
    roots = [one for one in read_certificates(certificate_file) if one.subject == one.issuer]
    if not roots:
        raise AuthorityError(
            f"{certificate_file} does not end with a root; name it in authority.authorities_file"
        )
    return roots
