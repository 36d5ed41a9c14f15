"""Whom to trust at the other end of a connection: one authority of an NGO's own, or the system's.

The name in the certificate is always checked.
"""

import ssl

from fanal.error import UsageError


def client_context(ca_pem: str | None = None) -> ssl.SSLContext:
    """Return a client's TLS, 1.2 or newer. ca_pem: certificates to trust and no others, in PEM.

    Without, those of the system count (or of SSL_CERT_FILE). Raises UsageError.
    """
    try:
        # ssl takes an empty text for None: the system's authorities, which nobody asked for
        if ca_pem is not None and not ca_pem.strip():
            raise ValueError
        context = ssl.create_default_context(cadata=ca_pem)
    except (ssl.SSLError, ValueError):
        raise UsageError(
            "The certificate to trust is no certificate in PEM.",
            "Take the file that begins with -----BEGIN CERTIFICATE-----, of your authority.",
            code="certificate",
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def distrusted(host: str, error: ssl.SSLCertVerificationError) -> str:
    """Return the sentence for a server that did not prove who it is."""
    return f"{host} did not prove that it is {host} ({error.verify_message})."


def distrust(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    """Return the failed check of a certificate that a library's error was made of, if any."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error
        error = error.__cause__ or error.__context__
    return None
