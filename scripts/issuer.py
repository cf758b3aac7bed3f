"""An OpenID issuer in this process. Needs the packages of `scripts/tools.sh path envoy-python`."""

import http.server
import json
import threading
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

# How each kind of private key signs, and what writes its public half.
KINDS = {
    ec.EllipticCurvePrivateKey: ("ES256", jwt.algorithms.ECAlgorithm),
    rsa.RSAPrivateKey: ("RS256", jwt.algorithms.RSAAlgorithm),
    ed25519.Ed25519PrivateKey: ("EdDSA", jwt.algorithms.OKPAlgorithm),
}


def kind(key):
    return next(how for kind, how in KINDS.items() if isinstance(key, kind))


def public(kid, key):
    """A public key as key sets hold it."""
    algorithm, writer = kind(key)
    return {**json.loads(writer.to_jwk(key.public_key())), "kid": kid, "use": "sig", "alg": algorithm}


class Issuer:
    """Discovery, keys that come and go in `keys` (by their ids), and tokens. Stopped and started again, it has the address that it had."""

    def __init__(self, audience, keys=None, address="127.0.0.1"):
        self.audience, self.address, self.port = audience, address, 0
        self.keys = keys or {"one": ed25519.Ed25519PrivateKey.generate()}
        self.start()

    @property
    def url(self):
        return f"http://{self.address}:{self.port}"

    def start(self):
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                found = {"/.well-known/openid-configuration": issuer.discovery, "/keys": issuer.key_set}.get(self.path)
                body = json.dumps(found() if found else {}).encode()
                self.send_response(200 if found else 404)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer((self.address, self.port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def discovery(self):
        return {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}

    def key_set(self):
        return {"keys": [public(kid, key) for kid, key in self.keys.items()]}

    def token(self, subject, signer=None, **claims):
        """A token for three hours, by the first of the keys or by another (id, key). Claims that are given count instead; None leaves one out."""
        kid, key = signer or next(iter(self.keys.items()))
        now = int(time.time())
        claims = {"iss": self.url, "aud": self.audience, "sub": subject, "iat": now, "exp": now + 3 * 3600, **claims}
        return jwt.encode({name: value for name, value in claims.items() if value is not None}, key, kind(key)[0], {"kid": kid})
