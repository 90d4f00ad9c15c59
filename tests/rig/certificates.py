"""A certificate authority for one test run: a broker, a device, and an authority nobody trusts."""

import datetime as dt
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = dt.timedelta(days=1)


class Certificates:
    """Files in PEM format: `ca.pem`, `stranger.pem`, and `NAME.pem` with `NAME.key` for each member."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key, self._ca = self._authority("ca")
        self._authority("stranger")
        self.issue("broker")
        self.issue("device")

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def broker_lines(self, *, wants_client: bool = False) -> tuple[str, ...]:
        """Return what mosquitto needs to speak TLS with these certificates."""
        lines = (
            f"cafile {self.path('ca.pem')}",
            f"certfile {self.path('broker.pem')}",
            f"keyfile {self.path('broker.key')}",
        )
        demands = ("require_certificate true",) if wants_client else ()
        return (*lines, "allow_anonymous true", *demands)

    def context(self, name: str = "device") -> ssl.SSLContext:
        """Return how a member of this fleet connects."""
        context = ssl.create_default_context(cafile=self.path("ca.pem"))
        context.load_cert_chain(self.path(f"{name}.pem"), self.path(f"{name}.key"))
        return context

    def issue(self, name: str) -> None:
        """Make key and certificate of a member."""
        self._member(name, self._key, self._ca)

    def _authority(self, name: str) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(name, name, key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(_KEY_CERT_SIGN, critical=True)
            .sign(key, hashes.SHA256())
        )
        self._write(name, certificate)
        return key, certificate

    def _member(
        self, name: str, authority_key: ec.EllipticCurvePrivateKey, authority: x509.Certificate
    ) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
        certificate = (
            _builder(name, authority.subject.rfc4514_string().removeprefix("CN="), key)
            .add_extension(names, critical=False)
            .add_extension(issuer, critical=False)
            .sign(authority_key, hashes.SHA256())
        )
        self._write(name, certificate)
        (self.folder / f"{name}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )

    def _write(self, name: str, certificate: x509.Certificate) -> None:
        (self.folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


_KEY_CERT_SIGN = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def _builder(subject: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
    )
