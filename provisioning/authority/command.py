"""The kind `command`: any program that reads a request and prints the chain, such as `step ca sign`."""

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from provisioning.authority.errors import AuthorityError
from provisioning.authority.signer import Issued, Revoked, Subject, agreed_key, checked

LIMIT_S = 60.0
SHOWN_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class CommandSigner:
    """An authority behind a program. No shell is in between: every word of the command is one argument."""

    command: tuple[str, ...]
    authorities: str

    def sign(self, request: x509.CertificateSigningRequest, subject: Subject, days: float) -> Issued:
        """Run the program. The name in the certificate is its affair, and checked afterwards.

        Raises:
            RequestRefusedError: the key is too weak or of an unknown kind, or has not signed the request.
            AuthorityError: the program failed, took too long, or printed something else.
        """
        agreed_key(request)
        printed = self._run(self._filled_in(subject, days), request.public_bytes(Encoding.PEM))
        try:
            chain = x509.load_pem_x509_certificates(printed)
        except ValueError as error:
            raise AuthorityError(f"{self.command[0]} printed no certificate in PEM format") from error
        members = [one for one in chain if one.subject != one.issuer]
        return checked(Issued.of(members or chain), request, subject)

    def revocation_list(self, revoked: Iterable[Revoked], days: float) -> str:  # noqa: ARG002 -- the protocol's
        """Refuse: who signs also revokes.

        Raises:
            AuthorityError: always.
        """
        raise AuthorityError(
            "this authority keeps its list itself; revoke there, and give the broker its list"
        )

    def _filled_in(self, subject: Subject, days: float) -> list[str]:
        values = {"{name}": subject.name, "{role}": subject.role.value, "{hours}": str(round(days * 24))}
        words = list(self.command)
        for mark, value in values.items():
            words = [word.replace(mark, value) for word in words]
        return words

    def _run(self, words: list[str], request_pem: bytes) -> bytes:
        try:
            done = subprocess.run(words, input=request_pem, capture_output=True, timeout=LIMIT_S, check=False)  # noqa: S603 -- the operator's own command
        except OSError as error:
            raise AuthorityError(f"authority.command cannot be run: {error}") from error
        except subprocess.TimeoutExpired as error:
            raise AuthorityError(f"{words[0]} did not answer within {LIMIT_S:g} s") from error
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip()[-SHOWN_CHARACTERS:]
            raise AuthorityError(f"{words[0]} ended with {done.returncode}: {said or 'it said nothing'}")
        return done.stdout
