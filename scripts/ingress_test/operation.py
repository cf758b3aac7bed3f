"""What whoever runs it looks at."""

import json
import socket
import ssl

import certificates
from envoy_process import Envoy
from granary_process import Server
from ingress_test.rest import is_problem
from ingress_test.wire import Client
from ingress_test.world import case, holds, same, until

UNAVAILABLE = 14


@case
def health_says_that_envoy_lives_and_readiness_that_the_platform_does(world):
    data = world.work / "away"
    server = world.keep(Server(data, log=world.work / "away.log").start(), "stop")
    envoy = world.keep(Envoy(world.work / "away-envoy", world.tls, server.endpoint, data_dir=data).configure().validate().start(), "stop")
    client = Client(envoy.port, world.ca_file, (data / "token").read_text().strip())
    until("ready", lambda: client.get("/readyz", token=None).status == 200)
    server.stop()
    until("not ready", lambda: client.get("/readyz").status == 503, patience=30)
    same(client.get("/healthz", token=None).status, 200)
    is_problem(client.get("/v1/principal"), 503, "UNAVAILABLE")
    same(client.grpc("/granary.identity.v1.TokenService/GetPrincipal")[0], UNAVAILABLE)
    server.start()
    until("ready again", lambda: client.get("/readyz").status == 200, patience=30)
    same(client.get("/v1/principal").status, 200)


def logged(envoy, request_id):
    def found():
        return [line for line in envoy.access_log() if line.get("request_id") == request_id]
    return until(f"{request_id} in the access log", found)


@case
def the_access_log_says_who_did_what(world):
    answer = world.client.get("/v1/projects/default/datasets?page_size=7", headers={"x-request-id": "case-rest"})
    same(answer.headers["x-request-id"], "case-rest")
    (line,) = logged(world.envoy, "case-rest")
    same(
        {key: line[key] for key in ("subject", "method", "path", "rpc", "status", "grpc_status", "remote_address", "protocol")},
        {
            "subject": "local-administrator", "method": "GET", "path": "/v1/projects/default/datasets",
            "rpc": "/granary.metadata.v1.DatasetService/ListDatasets", "status": 200, "grpc_status": "0", "remote_address": "127.0.0.1", "protocol": "HTTP/1.1",
        },
    )
    holds(line["issuer"] == "granary" and line["time"] and isinstance(line["duration_ms"], int), line)


@case
def the_access_log_has_the_status_of_grpc(world):
    world.client.grpc("/granary.metadata.v1.DatasetService/GetDataset", headers={"x-request-id": "case-grpc"})
    (line,) = logged(world.envoy, "case-grpc")
    same((line["path"], line["status"], line["grpc_status"]), ("/granary.metadata.v1.DatasetService/GetDataset", 200, "3"), line)
    world.client.get("/v1/projects/default/datasets/none", headers={"x-request-id": "case-error"})
    (line,) = logged(world.envoy, "case-error")
    same((line["status"], line["code"]), (404, "NOT_FOUND"), line)
    world.client.get("/v1/principal", headers={"x-request-id": "case-refused"}, token=None)
    (line,) = logged(world.envoy, "case-refused")
    same((line["status"], line.get("subject")), (401, None), line)


@case
def logs_hold_no_token_and_no_query(world):
    world.client.get("/v1/projects/default/datasets?page_token=do-not-log-me")
    world.client.call("POST", "/v1/tokens:exchange", {"secret": "do-not-log-me"}, token=None)
    logged(world.envoy, world.client.get("/v1/principal").headers["x-request-id"])
    for file in [*world.work.rglob("access.log"), *world.work.rglob("envoy.log")]:
        text = file.read_text()
        holds("do-not-log-me" not in text and world.token not in text and world.token.split(".")[2] not in text, file)
    for line in (world.envoy.folder / "access.log").read_text().splitlines():
        json.loads(line)


@case
def a_call_without_an_id_gets_one(world):
    first, second = (world.client.get("/v1/principal").headers["x-request-id"] for _ in range(2))
    holds(len(first) >= 16 and first != second, first)


@case
def a_renewed_certificate_is_taken_without_a_restart(world):
    tls = world.work / "renewed" / "tls"
    certificates.ensure(tls)
    envoy = world.keep(Envoy(world.work / "renewed", tls, world.server.endpoint, data_dir=world.server.data_dir).configure().validate().start(), "stop")

    def serial():
        with socket.create_connection(("127.0.0.1", envoy.port), timeout=10) as raw:
            with ssl.create_default_context(cafile=tls / "ca.crt").wrap_socket(raw, server_hostname="localhost") as connection:
                return int(connection.getpeercert()["serialNumber"], 16)

    before = serial()
    expected = certificates.make_certificate(tls)
    holds(before != expected, before)
    until("the new certificate", lambda: serial() == expected)


@case
def administration_is_for_this_machine_and_not_behind_the_listener(world):
    with socket.create_connection(("127.0.0.1", world.envoy.admin), timeout=10) as raw:
        raw.sendall(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        holds(b" 200 " in raw.recv(4096), "administration does not answer")
    for path in ("/ready", "/stats", "/quitquitquit", "/config_dump"):
        same(world.client.call("POST", path).status, 404)


@case
def the_configuration_holds_no_secret(world):
    for file in world.envoy.folder.glob("*.*"):
        if file.suffix in (".yaml", ".json", ".lua", ".html", ".pb"):
            data = file.read_bytes()
            holds(b"PRIVATE" not in data and world.token.encode() not in data, file)
