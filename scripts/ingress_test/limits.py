"""Limits: of time, of size, of number."""

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from envoy_process import tool
from ingress_test.rest import DATASETS, is_problem
from ingress_test.wire import hoard
from ingress_test.world import SHORT_CALL, SHORT_STREAM, case, each, holds, same, until

EXHAUSTED = 8


def lasting(command):
    """How long a command that follows something runs until it is ended, and what it printed."""
    begin = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return time.monotonic() - begin, done.stdout, done.stderr


@case
def streams_outlive_every_limit_but_their_own(world):
    short = world.short
    authorization = f"authorization: Bearer {world.token}"
    commands = {
        "gRPC": [tool("grpcurl"), "-cacert", world.ca_file, "-H", authorization, "-d", '{"parent": "projects/default"}',
                 f"localhost:{short.port}", "granary.metadata.v1.EventService/WatchEvents"],
        "REST": ["curl", "-sSN", "--cacert", world.ca_file, "-H", authorization, f"{short.endpoint}/v1/projects/default/events:watch"],
        "REST over HTTP/1.1": ["curl", "-sSN", "--http1.1", "--cacert", world.ca_file, "-H", authorization,
                               f"{short.endpoint}/v1/projects/default/events:watch"],
    }
    with ThreadPoolExecutor() as pool:
        for name, (seconds, out, errors) in zip(commands, pool.map(lasting, commands.values())):
            # It said where the stream stands at once, then nothing, for longer than a call may take and than anything else may be idle.
            holds("esume" in out, f"{name}: {out} {errors}")
            holds(SHORT_STREAM - 0.5 < seconds < SHORT_STREAM + 5, f"{name} took {seconds:.1f} s: {out} {errors}")


@case
def a_stream_hears_what_happens_while_it_is_open(world):
    command = ["curl", "-sSN", "--cacert", str(world.ca_file), "-H", f"authorization: Bearer {world.token}",
               f"{world.envoy.endpoint}/v1/projects/default/events:watch?types=dataset.created"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as stream:
        try:
            holds("resume_token" in stream.stdout.readline(), "no first line")
            world.client.call("POST", f"{DATASETS}?dataset_id=heard", {})
            line = stream.stdout.readline()
            holds('"projects/default/datasets/heard"' in line, line)
        finally:
            stream.kill()


@case
def who_sends_a_head_too_slowly_is_not_waited_for(world):
    begin = time.monotonic()
    answer = world.client_of(world.short).raw(b"GET /v1/principal HTTP/1.1\r\nHost: localhost\r\nX-")
    seconds = time.monotonic() - begin
    holds((not answer or b" 408 " in answer) and seconds < SHORT_CALL + 5, f"{seconds:.1f} s {answer}")


@case
def who_sends_a_body_too_slowly_is_not_waited_for(world):
    head = f"POST {DATASETS}?dataset_id=slow HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {world.token}\r\nContent-Length: 100\r\n\r\n{{"
    begin = time.monotonic()
    answer = world.client_of(world.short).raw(head.encode())
    seconds = time.monotonic() - begin
    holds(b" 408 " in answer and seconds < SHORT_CALL + 5, f"{seconds:.1f} s {answer}")


@case
def a_connection_that_says_nothing_ends(world):
    begin = time.monotonic()
    with world.client_of(world.short).connect(patience=20) as connection:
        connection.sendall(b"G")
        try:
            rest = connection.recv(4096)
        except OSError:
            rest = b""
    holds((not rest or b" 408 " in rest) and time.monotonic() - begin < SHORT_CALL + 5, rest)


@case
def a_body_above_the_limit_is_refused(world):
    answer = world.client.call("POST", f"{DATASETS}?dataset_id=big", b'{"display_name":"' + b"x" * (9 << 20) + b'"}', headers={"expect": "100-continue"})
    is_problem(answer, 413, "OUT_OF_RANGE")


@case
def a_body_below_the_limit_reaches_the_service(world):
    answer = world.client.call("POST", f"{DATASETS}?dataset_id=big", b'{"display_name":"' + b"x" * (7 << 20) + b'"}')
    is_problem(answer, 400, "INVALID_ARGUMENT", "dataset.display_name: expected at most 256 bytes")


@each((1, 17 << 10), (101, 10))
def heads_above_the_limit_are_refused(world, count, size):
    lines = "".join(f"X-Much-{n}: {'x' * size}\r\n" for n in range(count))
    answer = world.client.raw(f"GET /v1/principal HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}\r\n".encode())
    holds(answer.startswith(b"HTTP/1.1 431 "), answer[:200])


@case
def a_long_path_is_refused(world):
    holds(world.client.get("/v1/projects/" + "x" * (17 << 10)).status in (414, 431), "it was taken")


def at_once(call, count=60):
    """The answers to many calls at the same time."""
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda _: call(), range(count)))


@case
def too_many_calls_of_one_principal_are_refused_and_others_go_on(world):
    client, other = world.client_of(world.limited), world.token_for("somebody-else")
    answers = at_once(lambda: client.get("/v1/principal"))
    same({answer.status for answer in answers}, {200, 429})
    refused = next(answer for answer in answers if answer.status == 429)
    is_problem(refused, 429, "RESOURCE_EXHAUSTED")
    same(refused.headers["retry-after"], "1", refused)
    same(client.get("/v1/principal", token=other).status, 200)


@case
def grpc_is_told_that_a_limit_is_reached(world):
    client = world.client_of(world.limited, world.token_for("grpc-caller"))
    same({status for status, *_ in at_once(lambda: client.grpc("/granary.identity.v1.TokenService/GetPrincipal"))}, {0, EXHAUSTED})


@case
def the_command_goes_on_when_a_limit_is_passed(world):
    client = world.client_of(world.limited)
    folder = world.work / "limited-upload"
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    same(429 in {answer.status for answer in at_once(lambda: client.get("/v1/principal"))}, True)
    # There is nothing left for its first call.
    world.cli(world.limited).run("upload", folder, "--dataset", "limited", "--no-metadata", "--quiet")


@case
def too_many_calls_of_one_address_are_refused_before_tokens_are_looked_at(world):
    client = world.client_of(world.guarded)
    same({answer.status for answer in at_once(lambda: client.get("/v1/principal", token=None))}, {401, 429})
    # Whatever headers say.
    spoofed = iter([{"x-forwarded-for": f"192.0.2.{n}", "forwarded": f"for=192.0.2.{n}", "x-envoy-external-address": f"192.0.2.{n}"} for n in range(60)])
    same(429 in {answer.status for answer in at_once(lambda: client.get("/v1/principal", token=None, headers=next(spoofed)))}, True)


@case
def a_body_of_millions_of_values_holds_nobody_up(world):
    many = b'{"inputs":[' + b",".join([b'{"mapping":""}'] * 500_000) + b"]}"
    with ThreadPoolExecutor() as pool:
        heavy = [pool.submit(world.client.call, "POST", "/v1/projects/default/jobs", many) for _ in range(4)]
        begin = time.monotonic()
        same(world.client.get("/healthz").status, 200)
        holds(time.monotonic() - begin < 10, f"{time.monotonic() - begin:.1f} s for a word")
        for answer in heavy:
            same(answer.result().status, 400)


@case
def who_opens_streams_and_reads_nothing_has_envoy_hold_no_more_than_it_may(world):
    envoy = world.envoy_of("heap", "--max-heap-mib", "160")
    client = world.client_of(envoy)
    # Three hundred MiB and more of a document that needs no token.
    hoarders = []
    for _ in range(14):
        hoarders.append(hoard(client, "/openapi.json", 100))
        # It looks at what it holds four times a second.
        time.sleep(0.3)
    held = envoy.resident_mib()
    holds(held < 300, f"{held} MiB")
    for hoarder in hoarders:
        hoarder.close()
    until("calls are answered again", lambda: client.get("/v1/principal").status == 200)
