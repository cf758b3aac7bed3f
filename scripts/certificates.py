"""A certificate authority for development and what it signs. Needs the package `cryptography` (`scripts/tools.sh path envoy-python`).

    certificates.py DIR      sees to it that DIR has ca.crt, tls.crt and tls.key for this machine, and prints DIR
"""

import datetime
import ipaddress
import os
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = datetime.timedelta(days=365)
RENEW_BEFORE = datetime.timedelta(days=30)


def write(path, data, mode=0o644):
    """A file, whole or not at all."""
    path = Path(path)
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
        out.write(data)
    new.rename(path)


def named(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def builder(subject, issuer, key):
    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + LIFETIME)
    )


def make_authority(folder):
    """`ca.crt` and `ca.key`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = named("Granary development CA")
    certificate = (
        builder(name, name, key).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(*[use in (5, 6) for use in range(9)]), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False).sign(key, hashes.SHA256())
    )
    write(folder / "ca.key", pem(key), 0o600)
    write(folder / "ca.crt", certificate.public_bytes(serialization.Encoding.PEM))


def make_certificate(folder, hosts=("localhost", "127.0.0.1", "::1")):
    """`tls.crt` and `tls.key`, signed by the authority there. Returns the serial number."""
    authority = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
    authority_key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    key = ec.generate_private_key(ec.SECP256R1())

    def general(host):
        try:
            return x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            return x509.DNSName(host)

    certificate = (
        builder(named(hosts[0]), authority.subject, key)
        .add_extension(x509.SubjectAlternativeName([general(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    # The key first: who reads both while this writes must not find the new certificate with the old key.
    write(folder / "tls.key", pem(key), 0o600)
    write(folder / "tls.crt", certificate.public_bytes(serialization.Encoding.PEM))
    return certificate.serial_number


def lasting(file):
    """Whether a certificate is there and has time left."""
    if not file.is_file():
        return False
    end = x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc
    return end - datetime.datetime.now(datetime.timezone.utc) > RENEW_BEFORE


def ensure(folder):
    """Sees to it that the folder has an authority and a certificate with time left."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not lasting(folder / "ca.crt"):
        make_authority(folder)
        make_certificate(folder)
    elif not lasting(folder / "tls.crt"):
        make_certificate(folder)


if __name__ == "__main__":
    ensure(Path(sys.argv[1]))
    print(sys.argv[1])
