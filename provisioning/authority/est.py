"""The kind `est`: a server that speaks EST (RFC 7030), as many commercial authorities do."""

import base64
import binascii
import http.client
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from provisioning.authority.errors import AuthorityError, RequestRefusedError
from provisioning.authority.issuer import pem_text
from provisioning.authority.signer import Issued, Revoked, Subject, agreed_key, checked, common_name

LIMIT_S = 30.0
LARGEST_BYTES = 1 << 20
WELL_KNOWN = "/.well-known/est"
OK, ACCEPTED, UNAUTHORIZED = 200, 202, 401
SHOWN_CHARACTERS = 200


@dataclass(slots=True)
class EstSigner:
    """An EST server. It decides name and life by the request and by its own rules; both are checked."""

    url: str
    tls: ssl.SSLContext
    login: tuple[str, str] = ("", "")
    """User and password, for servers that want no certificate."""
    known_authorities: str = ""
    _told: list[x509.Certificate] = field(default_factory=list)

    @property
    def authorities(self) -> str:
        """Whom devices shall trust: as configured, else the roots that the server tells (section 4.1).

        Raises:
            AuthorityError: the server does not answer, or tells no root.
        """
        if self.known_authorities:
            return self.known_authorities
        roots = [one for one in self._tell() if one.subject == one.issuer]
        if not roots:
            raise AuthorityError(f"{self.url} tells no root certificate; set authority.authorities_file")
        return pem_text(roots)

    def sign(self, request: x509.CertificateSigningRequest, subject: Subject, days: float) -> Issued:  # noqa: ARG002 -- the server decides
        """Have the server sign (section 4.2, simpleenroll).

        Raises:
            RequestRefusedError: the request names somebody else: an EST server signs the name that it holds.
            AuthorityError: the server refuses, does not answer, or gave something else.
        """
        agreed_key(request)
        if common_name(request) != subject.name:
            raise RequestRefusedError(
                f"the request is made for {common_name(request)!r}, and an EST server signs that name; set "
                f"device_id = {subject.name!r} on the box before it enrols"
            )
        body = base64.encodebytes(request.public_bytes(Encoding.DER))
        given = _certificates(self._ask("POST", "/simpleenroll", body))
        leaf = next((one for one in given if one.public_key() == request.public_key()), given[0])
        return checked(Issued.of(self._chain(leaf, given)), request, subject)

    def revocation_list(self, revoked: Iterable[Revoked], days: float) -> str:  # noqa: ARG002 -- the protocol's
        """Refuse: who signs also revokes.

        Raises:
            AuthorityError: always.
        """
        raise AuthorityError(
            "this authority keeps its list itself; revoke there, and give the broker its list"
        )

    def _chain(self, leaf: x509.Certificate, given: list[x509.Certificate]) -> list[x509.Certificate]:
        """Return the certificate and what leads to the root, out of both answers of the server."""
        chain, pool = [leaf], [*given, *self._tell()]
        while chain[-1].issuer != chain[-1].subject and len(chain) <= len(pool):
            above = next((one for one in pool if one.subject == chain[-1].issuer), None)
            if above is None or above.subject == above.issuer:
                break
            chain.append(above)
        return chain

    def _tell(self) -> list[x509.Certificate]:
        if not self._told:
            self._told = _certificates(self._ask("GET", "/cacerts"))
        return self._told

    def _ask(self, method: str, operation: str, body: bytes | None = None) -> bytes:
        parts = urlsplit(self.url)
        path = (parts.path.rstrip("/") or WELL_KNOWN) + operation
        link = http.client.HTTPSConnection(
            parts.hostname or "", parts.port or 443, timeout=LIMIT_S, context=self.tls
        )
        try:
            link.request(method, path, body, self._headers(has_body=body is not None))
            answer = link.getresponse()
            content = answer.read(LARGEST_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise AuthorityError(f"{self.url} cannot be asked: {error}") from error
        finally:
            link.close()
        if answer.status != OK:
            raise AuthorityError(self._refusal(answer, content))
        return content

    def _headers(self, *, has_body: bool) -> dict[str, str]:
        kind = {"Content-Type": "application/pkcs10", "Content-Transfer-Encoding": "base64"}
        headers = kind if has_body else {}
        if not self.login[0]:
            return headers
        word = base64.b64encode(":".join(self.login).encode()).decode()
        return headers | {"Authorization": f"Basic {word}"}

    def _refusal(self, answer: http.client.HTTPResponse, content: bytes) -> str:
        said = content.decode("utf-8", "replace").strip()[:SHOWN_CHARACTERS]
        match answer.status:
            case status if status == ACCEPTED:
                return (
                    f"{self.url} lets a person decide first; ask again in {answer.headers['Retry-After']} s"
                )
            case status if status == UNAUTHORIZED:
                return f"{self.url} does not know us; check authority.username or certificate_file"
        return f"{self.url} answered {answer.status} {answer.reason}: {said or 'nothing more'}"


def _certificates(content: bytes) -> list[x509.Certificate]:
    """Read an answer: PKCS #7, certificates only, DER in base64 (RFC 7030, section 4.1.3)."""
    try:
        found = pkcs7.load_der_pkcs7_certificates(base64.b64decode(content, validate=False))
    except (ValueError, binascii.Error) as error:
        raise AuthorityError("the EST server's answer holds no certificates (PKCS #7)") from error
    if not found:
        raise AuthorityError("the EST server's answer holds no certificates (PKCS #7)")
    return found
