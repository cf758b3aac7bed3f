"""Tokens: forged ones, those of others, and the keys of an issuer that come and go."""

import base64
import json
import subprocess
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from envoy_process import Envoy
from granary_process import Server, program
from ingress_test.wire import Client
from ingress_test.world import case, each, holds, same, until
from issuer import Issuer

PRINCIPAL = "/v1/principal"
AUDIENCE = "granary-lab"
REFRESH = 1


def parts(token):
    return [json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2]]


def encoded(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def forged(world):
    """Tokens that must not count, by what is wrong with them."""
    header, claims = parts(world.token)
    head, body, signature = world.token.split(".")
    key = ed25519.Ed25519PrivateKey.generate()
    rs, now = rsa.generate_private_key(65537, 2048), int(time.time())
    other = {**claims, "sub": "mallory"}
    kid = {"kid": header["kid"]} if "kid" in header else None
    return {
        "no signature": f"{head}.{body}.",
        "alg none": f"{encoded({**header, 'alg': 'none'})}.{encoded(other)}.",
        "another body": f"{head}.{encoded(other)}.{signature}",
        "another key": jwt.encode(claims, key, "EdDSA", kid),
        "a secret": jwt.encode(claims, "granary" * 8, "HS256", kid),
        "another algorithm": jwt.encode(claims, rs, "RS256", kid),
        "another issuer": jwt.encode({**claims, "iss": "https://evil.example"}, key, "EdDSA"),
        "ended": jwt.encode({**claims, "exp": now - 3600}, key, "EdDSA", kid),
        "rubbish": "a.b.c",
        "very long": "a" * 8000,
    }


@each("no signature", "alg none", "another body", "another key", "a secret", "another algorithm", "another issuer", "ended", "rubbish", "very long")
def a_forged_token_is_refused(world, name):
    token = forged(world)[name]
    same(world.client.get(PRINCIPAL, token=token).status, 401)
    same(world.client.grpc("/granary.identity.v1.TokenService/GetPrincipal", token=token)[0], 16)


@each("?access_token={}", "?token={}")
def a_token_in_the_url_does_not_count(world, query):
    same(world.client.get(PRINCIPAL + query.format(world.token), token=None).status, 401)


@each("basic {}", "{}", "Bearer", "Bearer {} {}")
def a_token_counts_only_as_a_bearer_token(world, form):
    same(world.client.get(PRINCIPAL, headers={"authorization": form.replace("{}", world.token)}, token=None).status, 401)


@case
def a_token_of_another_server_is_refused(world):
    server = world.keep(Server(world.work / "other", log=world.work / "other.log").start(), "stop")
    same(world.client.get(PRINCIPAL, token=(server.data_dir / "token").read_text().strip()).status, 401)


class Lab:
    """A server and an Envoy that trust an issuer outside."""

    def __init__(self, world):
        self.issuer = Issuer(AUDIENCE, {"old": ec.generate_private_key(ec.SECP256R1())})
        flags = ["--oidc-issuer", self.issuer.url, "--oidc-audience", AUDIENCE, "--oidc-administrator", "subject:alice", "--oidc-allow-http"]
        self.server = world.keep(Server(world.work / "lab", flags, log=world.work / "lab.log").start(), "stop")
        envoy = Envoy(world.work / "lab-envoy", world.tls, self.server.endpoint, [*flags, "--keys-refresh", f"{REFRESH}s"], data_dir=self.server.data_dir)
        self.envoy = world.keep(envoy.configure().validate().start(), "stop")
        self.client = Client(self.envoy.port, world.ca_file)

    def status(self, token):
        return self.client.get(PRINCIPAL, token=token).status


def lab(world):
    if not hasattr(world, "lab"):
        world.lab = Lab(world)
    return world.lab


@case
def a_token_of_an_issuer_outside_counts(world):
    it = lab(world)
    answer = it.client.get(PRINCIPAL, token=it.issuer.token("alice"))
    same((answer.status, answer.json()["subject"]), (200, "alice"), answer)


@each(
    ("aud", "somebody-else"), ("aud", None), ("exp", 1), ("exp", None), ("nbf", 4102444800), ("iss", "http://127.0.0.1:1"),
)
def a_token_with_a_wrong_claim_is_refused(world, claim, value):
    it = lab(world)
    token = it.issuer.token("alice", **{claim: value})
    answer = it.client.get(PRINCIPAL, token=token)
    same((answer.status, answer.json()["code"]), (401, "UNAUTHENTICATED"), answer)
    same(it.client.grpc("/granary.identity.v1.TokenService/GetPrincipal", token=token)[0], 16)


@case
def keys_of_all_kinds_count_and_rotation_fails_no_valid_call(world):
    it = lab(world)
    old = it.issuer.token("alice")
    keys = {"rsa": rsa.generate_private_key(65537, 2048), "ed": ed25519.Ed25519PrivateKey.generate(), "ec": ec.generate_private_key(ec.SECP256R1())}
    new = [it.issuer.token("alice", signer) for signer in keys.items()]

    def all_count(tokens):
        return all(it.status(token) == 200 for token in tokens)

    def within_one_refresh(what, condition, valid):
        """Until it is so, what is valid goes on."""
        until(what, lambda: condition() if all_count(valid) else holds(False, "a valid call failed"))

    # An issuer shows a key before it uses it, and shows it as long as something lasts that is signed by it.
    it.issuer.keys.update(keys)
    within_one_refresh("the new keys count", lambda: all_count(new), [old])
    del it.issuer.keys["old"]
    within_one_refresh("the old key counts no more", lambda: it.status(old) == 401, new)


@case
def while_the_issuer_is_away_known_keys_go_on(world):
    it = lab(world)
    token = it.issuer.token("alice")
    same(it.status(token), 200)
    it.issuer.stop()
    end = time.monotonic() + 4 * REFRESH
    while time.monotonic() < end:
        same(it.status(token), 200)
        time.sleep(0.1)
    it.issuer.start()
    new = ec.generate_private_key(ec.SECP256R1())
    it.issuer.keys["after"] = new
    until("keys are asked for again", lambda: it.status(it.issuer.token("alice", ("after", new))) == 200)


@case
def services_verify_again(world):
    # Past Envoy the same holds: what it lets through is not what counts.
    cli = world.server.cli()
    same(cli.json("token", "whoami")["subject"], "local-administrator")
    env = {**cli.env(), "GRANARY_TOKEN": forged(world)["another key"]}
    done = subprocess.run([program(), "--endpoint", world.server.endpoint, "token", "whoami"], env=env, capture_output=True, text=True)
    holds(done.returncode == 1 and "refused the token" in done.stderr, done.stderr)
