"""The list of certificates that count no more (CRL, RFC 5280), as mosquitto's `crlfile` wants it.

Which ones they are is in the registry; here the list is only signed. Its number is the time, so that a later
list is always the higher one, whoever makes it.
"""

import datetime as dt
from collections.abc import Iterable

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from provisioning.authority.profile import SigningKey, digest_for
from provisioning.authority.signer import Revoked

BACKDATE = dt.timedelta(hours=1)
"""A broker whose clock is behind would refuse everybody for a list of the future."""


def revocation_list(
    issuer: x509.Certificate, key: SigningKey, revoked: Iterable[Revoked], life: dt.timedelta
) -> str:
    """Return the list, PEM. A broker that has it refuses everybody once it is over: renew it long before."""
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(now - BACKDATE)
        .next_update(now + life)
        .add_extension(x509.CRLNumber(int(now.timestamp() * 1000)), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    for one in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(one.serial_number).revocation_date(one.at)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(key, digest_for(key)).public_bytes(Encoding.PEM).decode()
