"""An issuing key that lies here: the signer behind the kinds `own` and `files`."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from provisioning.authority import profile, revocation
from provisioning.authority.errors import AuthorityError
from provisioning.authority.keys import open_key, read_certificates
from provisioning.authority.passphrase import Passphrase
from provisioning.authority.profile import SigningKey
from provisioning.authority.signer import Issued, Revoked, Subject, agreed_key


@dataclass(frozen=True, slots=True)
class Issuer:
    """An authority whose key is open in this process."""

    key: SigningKey
    chain: tuple[x509.Certificate, ...]
    """Its certificate, and those that lead to the root, without the root."""
    authorities: str
    backdate: dt.timedelta

    def sign(self, request: x509.CertificateSigningRequest, subject: Subject, days: float) -> Issued:
        """Sign the key of a request; the certificate begins earlier than now, and never outlives its issuer.

        Raises:
            RequestRefusedError: the key is too weak or of an unknown kind, or has not signed the request.
            AuthorityError: the issuing certificate itself is over.
        """
        builder = profile.member(
            subject, agreed_key(request), self._certificate.subject, self._life(dt.timedelta(days=days))
        )
        return Issued.of((profile.signed(builder, self.key), *self.chain))

    def revocation_list(self, revoked: Iterable[Revoked], days: float) -> str:
        """Return the list of what is revoked (CRL, PEM), good for so many days."""
        return revocation.revocation_list(self._certificate, self.key, revoked, dt.timedelta(days=days))

    @property
    def _certificate(self) -> x509.Certificate:
        return self.chain[0]

    def _life(self, length: dt.timedelta) -> profile.Life:
        now = dt.datetime.now(dt.UTC)
        begin = max(now - self.backdate, self._certificate.not_valid_before_utc)
        end = min(now + length, self._certificate.not_valid_after_utc)
        if end <= now:
            raise AuthorityError(
                f"the issuing certificate is over since {end:%Y-%m-%d}; make a new one with the root key"
            )
        return begin, end


def open_issuer(
    certificate_file: Path,
    key_file: Path,
    passphrase: Passphrase,
    authorities: str,
    backdate_s: float,
) -> Issuer:
    """Open the key and check that it belongs to the certificate, and that this may sign.

    Raises:
        AuthorityError: a file cannot be read, the passphrase is wrong, or the two do not fit.
    """
    chain = tuple(one for one in read_certificates(certificate_file) if one.subject != one.issuer)
    chain = chain or tuple(read_certificates(certificate_file)[:1])
    key = open_key(key_file, passphrase)
    if key.public_key() != chain[0].public_key():
        raise AuthorityError(f"{key_file} is not the key of the certificate in {certificate_file}")
    if not _may_sign(chain[0]):
        raise AuthorityError(f"the certificate in {certificate_file} is none of an authority; it cannot sign")
    return Issuer(key, chain, authorities, dt.timedelta(seconds=backdate_s))


def pem_text(certificates: Iterable[x509.Certificate]) -> str:
    """Return certificates as one PEM text."""
    return "".join(one.public_bytes(Encoding.PEM).decode() for one in certificates)


def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False
