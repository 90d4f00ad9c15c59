"""What stands in the certificates that we sign ourselves: of the two authorities, and of each role."""

import datetime as dt
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from provisioning.authority.signer import PublicKey, Subject, purpose
from provisioning.roles import Role

SigningKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
SMALL_CURVE_BITS = 256

Life = tuple[dt.datetime, dt.datetime]
"""Not before, not after; UTC."""


def authority(
    name: str, key: PublicKey, issuer: x509.Name | None, life: Life, *, path_length: int
) -> x509.CertificateBuilder:
    """Return the certificate of an authority, which without an issuer signs itself."""
    own = _name(name)
    return (
        _begun(own, issuer or own, key, life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
    )


def member(subject: Subject, key: PublicKey, issuer: x509.Name, life: Life) -> x509.CertificateBuilder:
    """Return the certificate of whoever takes part: client or server as its role is, and no authority."""
    needs_encipherment = subject.role is Role.BROKER and isinstance(key, rsa.RSAPublicKey)
    builder = (
        _begun(_name(subject.name), issuer, key, life)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(enciphers_keys=needs_encipherment), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose(subject.role)]), critical=False)
    )
    if not subject.alternative_names:
        return builder
    names = x509.SubjectAlternativeName([_alternative(name) for name in subject.alternative_names])
    return builder.add_extension(names, critical=False)


def signed(builder: x509.CertificateBuilder, key: SigningKey) -> x509.Certificate:
    """Sign with the key of the issuer, and name that key."""
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    return builder.add_extension(identifier, critical=False).sign(key, digest_for(key))


def digest_for(key: SigningKey) -> hashes.SHA256 | hashes.SHA384 | None:
    """Return the digest that is as strong as a key; Ed25519 brings its own."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    is_large = isinstance(key, ec.EllipticCurvePrivateKey) and key.key_size > SMALL_CURVE_BITS
    return hashes.SHA384() if is_large else hashes.SHA256()


def _begun(subject: x509.Name, issuer: x509.Name, key: PublicKey, life: Life) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(life[0])
        .not_valid_after(life[1])
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_usage(*, signs_certificates: bool = False, enciphers_keys: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=enciphers_keys,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
