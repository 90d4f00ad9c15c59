"""A server that speaks EST (RFC 7030) over real TLS, and signs with an authority of ours."""

import base64
import http.server
import ssl
import threading
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from provisioning.authority import keys
from provisioning.authority.signer import Signer, Subject, common_name
from provisioning.roles import Role

PASSWORD = "of a test"  # noqa: S105 -- a test's
LOGIN = "Basic " + base64.b64encode(f"fleet:{PASSWORD}".encode()).decode()


class Est:
    """Runs until `close`; knows one user."""

    def __init__(self, folder: Path, signer: Signer) -> None:
        self._signer = signer
        self.signed: list[str] = []
        """The names for which it has signed."""
        made = keys.make(signer, Subject("est", Role.BROKER, ("127.0.0.1",)), 1)
        (folder / "est.pem").write_text(made.issued.chain_pem)
        (folder / "est.key").write_text(made.key_pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "est.pem", folder / "est.key")
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        signer, signed = self._signer, self.signed

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(200, _bundle(signer.authorities))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers["Authorization"] != LOGIN:
                    self._answer(401, b"")
                    return
                request = x509.load_der_x509_csr(base64.b64decode(body))
                signed.append(common_name(request))
                issued = signer.sign(request, Subject(common_name(request), Role.DEVICE), 1)
                self._answer(200, _bundle(issued.chain_pem))

            def log_message(self, *_: object) -> None:
                """Say nothing."""

            def _answer(self, status: int, content: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        return Handler


def _bundle(chain_pem: str) -> bytes:
    certificates = x509.load_pem_x509_certificates(chain_pem.encode())
    return base64.encodebytes(pkcs7.serialize_certificates(certificates, Encoding.DER))
