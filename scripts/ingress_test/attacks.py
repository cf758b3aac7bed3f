"""What those try who want to get past."""

import socket
import ssl

from ingress_test.rest import DATASETS, is_problem
from ingress_test.world import case, each, holds, same

OPEN = ["/docs", "/openapi.json", "/healthz", "/v1/tokens:exchange", "/grpc.health.v1.Health"]


def handshake(world, minimum, maximum, ciphers=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(world.ca_file)
    if ciphers:
        context.set_ciphers(ciphers)
    context.minimum_version, context.maximum_version = minimum, maximum
    with socket.create_connection(("127.0.0.1", world.envoy.port), timeout=10) as raw:
        with context.wrap_socket(raw, server_hostname="localhost") as connection:
            return connection.version()


@each("TLSv1", "TLSv1_1")
def old_versions_of_tls_are_refused(world, name):
    version = ssl.TLSVersion[name]
    try:
        handshake(world, version, version, "ALL:@SECLEVEL=0")
    except ssl.SSLError as error:
        # By the other side, not by this one.
        holds("alert protocol version" in str(error).lower().replace("_", " "), error)
    else:
        raise AssertionError("it was taken")


@each(("TLSv1_2", "TLSv1.2"), ("TLSv1_3", "TLSv1.3"))
def new_versions_of_tls_are_spoken(world, name, spoken):
    version = ssl.TLSVersion[name]
    same(handshake(world, version, version), spoken)


@case
def plain_http_is_not_spoken(world):
    with socket.create_connection(("127.0.0.1", world.envoy.port), timeout=10) as raw:
        raw.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try:
            answer = raw.recv(4096)
        except ConnectionError:
            answer = b""
    holds(b"HTTP/" not in answer, answer)


SPOOFED = {
    "x-forwarded-for": "198.51.100.1", "x-forwarded-host": "evil.example", "x-forwarded-client-cert": "Hash=1", "x-forwarded-proto": "gopher",
    "forwarded": "for=198.51.100.1", "granary-on-behalf-of": "administrator", "x-envoy-internal": "true", "x-envoy-original-path": "/admin",
    "x-envoy-upstream-rq-timeout-ms": "1", "x-envoy-retry-on": "5xx", "x-envoy-max-retries": "9", "x-envoy-external-address": "198.51.100.1",
    "x-envoy-decorator-operation": "x", "x-envoy-force-trace": "true",
}


@case
def headers_that_only_insiders_may_set_reach_nobody(world):
    client = world.client_of(world.echoing)
    status, *_ = client.grpc("/granary.identity.v1.TokenService/GetPrincipal", headers={**SPOOFED, "x-request-id": "seen"})
    same(status, 0)
    heard = world.echo.last("/granary.identity.v1.TokenService/GetPrincipal")
    same(heard["x-request-id"], "seen")
    holds("198.51.100.1" not in heard["x-forwarded-for"], heard)
    same(heard["x-forwarded-proto"], "https", heard)
    same(heard["authorization"], f"Bearer {world.token}")
    for name in SPOOFED.keys() - {"x-forwarded-for", "x-forwarded-proto"}:
        holds(heard.get(name) != SPOOFED[name], name)


@case
def headers_of_rest_calls_are_stripped_too(world):
    world.client_of(world.echoing).get("/v1/principal", headers=SPOOFED)
    heard = world.echo.last("/granary.identity.v1.TokenService/GetPrincipal")
    holds("198.51.100.1" not in heard["x-forwarded-for"], heard)
    same((heard.get("granary-on-behalf-of"), heard.get("x-envoy-internal"), heard["x-envoy-original-path"]), (None, None, "/v1/principal"), heard)


@case
def headers_with_underscores_are_refused(world):
    same(world.client.get("/v1/principal", headers={"granary_on_behalf_of": "x"}).status, 400)


@case
def addresses_that_are_not_allowed_are_refused_whatever_they_say(world):
    envoy = world.envoy_of("allowed", "--allow", "192.0.2.0/24", "--allow", "2001:db8::/32")
    client = world.client_of(envoy)
    for headers in ({}, {"x-forwarded-for": "192.0.2.7"}, {"forwarded": "for=192.0.2.7"}, {"x-envoy-external-address": "192.0.2.7"}):
        is_problem(client.get("/v1/principal", headers=headers), 403, "PERMISSION_DENIED")
    # Whoever asks for health is not in the list: it stands nearer.
    same(client.get("/healthz").status, 200)


@case
def behind_a_proxy_its_word_counts_and_no_other(world):
    envoy = world.envoy_of("behind", "--allow", "192.0.2.0/24", "--trusted-hops", "1")
    client = world.client_of(envoy)
    same(client.get("/v1/principal", headers={"x-forwarded-for": "192.0.2.7"}).status, 200)
    same(client.get("/v1/principal", headers={"x-forwarded-for": "192.0.2.7, 198.51.100.1"}).status, 403)


@each(*[f"{prefix}{way}v1/projects/default/datasets" for prefix in OPEN for way in ("/../", "/..//", "/%2e%2e/", "/./../")])
def nobody_gets_past_the_token_by_another_path(world, path):
    same(world.client.get(path, token=None).status in (400, 401, 404), True, world.client.get(path, token=None))


@each("/v1/projects/default%2fdatasets", "/v1/projects/default%2Fdatasets", "/v1%5cprojects", "/docs/..%2fv1/principal", "/v1/projects/..%2f..%2fadmin")
def slashes_in_disguise_are_refused(world, path):
    same(world.client.get(path).status, 400)


@each("/v1//projects/default//datasets", "/v1/projects/other/../default/datasets", "/v1/projects/default/./datasets")
def paths_are_read_in_one_way(world, path):
    same(world.client.get(path).status, 200)


@each("/v1/projects/default%00/datasets", "/v1/projects/%2e%2e/datasets", "/v1/projects/default;a=b/datasets", "/v1/projects/*/datasets", "/v1/projects/%252f/datasets")
def odd_names_find_nothing(world, path):
    holds(world.client.get(path).status in (400, 404), path)


@case
def grpc_paths_do_not_lead_past_the_token(world):
    for path in ("/grpc.health.v1.Health/../granary.metadata.v1.DatasetService/ListDatasets", "/grpc.health.v1.Health/..%2fgranary.metadata.v1.DatasetService/ListDatasets"):
        status, _, _, headers = world.client.grpc(path, b"", token=None)
        holds(status != 0, headers)


SECOND = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"


@each(
    ("two lengths", b"Content-Length: 4\r\nContent-Length: 5\r\n"),
    ("length and chunks", b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"),
    ("unknown coding", b"Transfer-Encoding: xchunked\r\n"),
    ("coding twice", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
    ("negative length", b"Content-Length: -1\r\n"),
    ("signed length", b"Content-Length: +4\r\n"),
    ("blank before the colon", b"Content-Length : 4\r\n"),
    ("null", b"X-Null: a\0b\r\n"),
)
def requests_that_can_be_read_in_two_ways_are_refused(world, name, lines):
    head = b"POST /v1/tokens:exchange HTTP/1.1\r\nHost: localhost\r\n" + lines + b"\r\n0\r\n\r\n"
    answer = world.client.raw(head + SECOND, patience=3)
    same(answer.count(b"HTTP/1.1 "), 1, answer[:2000])
    holds(answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 ")) and b"openapi" not in answer, f"{name}: {answer[:500]}")


@each(b"GET /v1/principal HTTP/1.0\r\nHost: localhost\r\n\r\n", b"GET http://evil.example/v1/principal HTTP/1.1\r\nHost: localhost\r\n\r\n",
      b"GET /v1/principal HTTP/1.1\r\n\r\n", b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n", b"GET /v1/principal\r\n\r\n",
      b"TRACE /v1/principal HTTP/1.1\r\nHost: localhost\r\n\r\n", b"PRI * HTTP/1.1\r\nHost: localhost\r\n\r\n")
def odd_requests_are_refused(world, request):
    answer = world.client.raw(request, patience=3)
    holds(not answer or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5")), answer[:300])


@each(b"X-Bare: a\rTransfer-Encoding: chunked\r\n", b"X-Bare: a\nTransfer-Encoding: chunked\r\n")
def odd_ends_of_lines_hide_no_request(world, lines):
    head = b"POST /v1/tokens:exchange HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n" % (len(SECOND) + 5)
    answer = world.client.raw(head + lines + b"\r\n0\r\n\r\n" + SECOND, patience=3)
    holds(b'"openapi"' not in answer and b"HTTP/1.1 200 " not in answer, answer[:1000])


@case
def an_answer_names_nothing_of_what_is_inside(world):
    for answer in (world.client.get(DATASETS), world.client.get("/v1/nothing"), world.client.get("/healthz")):
        for name in ("x-envoy-upstream-service-time", "x-powered-by", "x-envoy-decorator-operation"):
            holds(name not in answer.headers, answer)
        same(answer.headers["server"], "granary")
