"""From the settings to the authority that they name."""

import ssl
from pathlib import Path

from provisioning.authority.command import CommandSigner
from provisioning.authority.errors import AuthorityError
from provisioning.authority.est import EstSigner
from provisioning.authority.files import open_files
from provisioning.authority.issuer import pem_text
from provisioning.authority.keys import read_certificates
from provisioning.authority.own import open_own
from provisioning.authority.settings import AuthoritySettings
from provisioning.authority.signer import Signer


def open_signer(settings: AuthoritySettings, folder: Path) -> Signer:
    """Return the authority. `folder` holds our own one; relative paths of the settings begin there.

    Raises:
        AuthorityError: a file cannot be read, or a passphrase is wrong.
    """
    match settings.kind:
        case "own":
            return open_own(settings, folder)
        case "files":
            return open_files(settings, folder)
        case "command":
            return CommandSigner(settings.command, _authorities(settings, folder))
        case "est":
            return EstSigner(
                settings.url, _tls(settings, folder), _login(settings, folder), _authorities(settings, folder)
            )


def _authorities(settings: AuthoritySettings, folder: Path) -> str:
    file = settings.authorities_file
    return pem_text(read_certificates(folder / file)) if file else ""


def _tls(settings: AuthoritySettings, folder: Path) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=folder / settings.ca_file if settings.ca_file else None)
        if settings.certificate_file and settings.key_file:
            context.load_cert_chain(folder / settings.certificate_file, folder / settings.key_file)
    except OSError as error:
        raise AuthorityError(
            f"authority.ca_file, certificate_file or key_file cannot be used: {error}"
        ) from error
    return context


def _login(settings: AuthoritySettings, folder: Path) -> tuple[str, str]:
    if not settings.password_file:
        return "", ""
    try:
        password = (folder / settings.password_file).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise AuthorityError(f"authority.password_file cannot be read as text: {error}") from error
    return settings.username, password
