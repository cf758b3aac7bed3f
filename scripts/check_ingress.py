"""Has Envoy check what `granary ingress config` writes: for the defaults, and for every setting."""

import subprocess
import sys
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ed25519

import certificates
from envoy_process import Envoy
from granary_process import Failed

EVERYTHING = """
[ingress]
cors_origins = ["https://app.example", "http://localhost:5173"]
allow = ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"]
trusted_hops = 1
rate_per_address = 20
rate_per_principal = 10
request_timeout = "30s"
stream_timeout = "250ms"
keys_refresh = "5m"
max_connections = 100

[[oidc]]
issuer = "https://id.example"
audiences = ["granary"]
jwks_url = "https://id.example/keys"

[[oidc]]
issuer = "http://keycloak:8080/realms/lab"
audiences = ["granary", "others"]
jwks_url = "http://keycloak:8080/realms/lab/protocol/openid-connect/certs"
allow_http = true
"""


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        certificates.ensure(folder / "tls")
        key = folder / "signing.pem"
        certificates.write(key, certificates.pem(ed25519.Ed25519PrivateKey.generate()), 0o600)
        for name, text in (("defaults", ""), ("everything", EVERYTHING)):
            settings = folder / f"{name}.toml"
            settings.write_text(text)
            flags = ["--config", settings, "--signing-key-file", key]
            for upstream in ("http://127.0.0.1:7070", "http://granary:7070"):
                Envoy(folder / name, folder / "tls", upstream, flags, port=7443).configure().validate()
            print(f"  {name}: as Envoy wants it")


if __name__ == "__main__":
    try:
        main()
    except (Failed, subprocess.CalledProcessError) as failure:
        print(f"  {failure}")
        sys.exit(1)
