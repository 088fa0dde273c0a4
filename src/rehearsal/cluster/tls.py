"""Admin Router's certificate: self-signed, made anew on each master, as an open cluster's is."""

from __future__ import annotations

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LIFETIME = timedelta(days=3650)


def server_context(directory: Path, ip: str) -> ssl.SSLContext:
    """TLS with the certificate in the directory, made if there is none."""
    directory.mkdir(parents=True, exist_ok=True)
    certificate, key = directory / "adminrouter.crt", directory / "adminrouter.key"
    if not (certificate.exists() and key.exists()):
        _make(certificate, key, ip)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    return context


def _make(certificate: Path, key: Path, ip: str) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ip)])
    now = datetime.now(UTC)
    names: list[x509.GeneralName] = [
        x509.DNSName("master.mesos"), x509.DNSName("leader.mesos"), x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address(ip)), x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]  # fmt: skip
    signed = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(private.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + LIFETIME).add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )  # fmt: skip
    key.touch(mode=0o600)
    key.write_bytes(private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))  # fmt: skip
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
