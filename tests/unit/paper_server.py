"""An HTTPS server on this computer that can do everything wrong that a server can."""

import datetime
import ipaddress
import socket
import ssl
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"


class Authority:
    """A certificate authority. `path`: its certificate, for SSL_CERT_FILE."""

    def __init__(self, folder):
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "paper authority")])
        self.path = folder / "authority.pem"
        certificate = self._sign(self._name, self._key.public_key(), is_authority=True)
        self.path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def server_context(self, address=HOST, days=1):
        """Return a server's TLS with a certificate for `address`, valid for so many days."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "paper server")])
        certificate = self._sign(name, key.public_key(), address=address, days=days)
        path = self._folder / f"server-{address}-{days}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def client_context(self):
        """Return a client's TLS that trusts this authority alone."""
        return ssl.create_default_context(cafile=str(self.path))

    def _sign(self, name, public_key, *, is_authority=False, address=None, days=1):
        now = datetime.datetime.now(datetime.UTC)
        day = datetime.timedelta(days=1)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 9 * day)
            .not_valid_after(now + days * day)
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if is_authority:
            usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
            builder = builder.add_extension(usage, critical=True)
        if address is not None:
            names = [x509.IPAddress(ipaddress.ip_address(address))]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())


class PaperServer:
    """Serves `files` (path -> bytes); `answers` (path -> function of the handler) go before.

    asked: the paths that were asked for. A context manager.
    """

    def __init__(self, context):
        self.files, self.answers, self.asked = {}, {}, []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.asked.append(self.path)
                if self.path in server.answers:
                    server.answers[self.path](self)
                elif self.path in server.files:
                    send(self, server.files[self.path])
                else:
                    self.send_error(404)

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = False

            def finish_request(self, request, client_address):
                with suppress(OSError):  # a client that does not trust us goes away
                    request.settimeout(20)
                    wrapped = context.wrap_socket(request, server_side=True)
                    try:
                        super().finish_request(wrapped, client_address)
                    finally:
                        wrapped.close()

        self._server = Server((HOST, 0), Handler)
        self.url = f"https://{HOST}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def send(handler, content, announced=None):
    """Answer with `content`, saying that it is `announced` bytes."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content) if announced is None else announced))
    handler.end_headers()
    handler.wfile.write(content)
    handler.close_connection = True


def redirect(to, status=302):
    """Return an answer that leads elsewhere."""

    def answer(handler):
        handler.send_response(status)
        handler.send_header("Location", to)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def dies(handler):
    """Cut the connection in the middle of an answer, without a word of TLS."""
    handler.send_response(200)
    handler.send_header("Content-Length", "70000")
    handler.end_headers()
    handler.wfile.write(b"\xe9" * 30000)
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True
