"""gRPC, gRPC-Web, and the command."""

import base64
import json
import os
import subprocess
import sys

import main_job
from granary_process import ROOT, Failed
from ingress_test.wire import field, frame, unframe, web_text
from ingress_test.world import ORIGIN, case, each, holds, same

LIST = "/granary.metadata.v1.DatasetService/ListDatasets"
DEFAULT = field(1, "projects/default")
UNAUTHENTICATED, NOT_FOUND, INVALID, OUT_OF_RANGE = 16, 5, 3, 11


@case
def grpcurl_lists_what_rest_lists(world):
    world.client.call("POST", "/v1/projects/default/datasets?dataset_id=grpc", {})
    code, out, errors = world.grpcurl("-d", '{"parent": "projects/default"}', "granary.metadata.v1.DatasetService/ListDatasets")
    same(code, 0, errors)
    listed = {dataset["name"] for dataset in json.loads(out)["datasets"]}
    same(listed, {dataset["name"] for dataset in world.client.get("/v1/projects/default/datasets").json()["datasets"]})


@case
def grpcurl_is_told_the_field(world):
    code, _, errors = world.grpcurl("-d", '{"parent": "projects/default", "page_size": -1}', "granary.metadata.v1.DatasetService/ListDatasets")
    holds(code != 0 and "InvalidArgument" in errors and "page_size: expected 0 to 1000" in errors, errors)


@case
def grpcurl_without_a_token_is_refused(world):
    code, _, errors = world.grpcurl("granary.metadata.v1.DatasetService/ListDatasets", token=False)
    holds(code != 0 and "Unauthenticated" in errors, errors)


@case
def a_call_without_a_token_has_the_status_of_grpc_and_a_plain_message(world):
    status, message, _, headers = world.client.grpc(LIST, DEFAULT, token=None)
    same((status, headers[":status"], message), (UNAUTHENTICATED, "200", "Jwt is missing"))


@case
def errors_pass_with_their_details(world):
    status, message, _, headers = world.client.grpc("/granary.metadata.v1.DatasetService/GetDataset", field(1, "projects/default/datasets/none"))
    same(status, NOT_FOUND, message)
    details = base64.b64decode(headers["grpc-status-details-bin"] + "==")
    holds(b"google.rpc.ResourceInfo" in details, details)


@case
def a_call_that_is_none_is_refused(world):
    status, _, _, headers = world.client.grpc("/granary.metadata.v1.DatasetService/DropDatasets")
    holds(status in (7, 12), headers)


@case
def health_needs_no_token(world):
    status, _, messages, _ = world.client.grpc("/grpc.health.v1.Health/Check", token=None)
    same((status, messages), (0, [b"\x08\x01"]))


@case
def reflection_needs_a_token(world):
    code, _, errors = world.grpcurl("list", token=False)
    holds(code != 0 and "Unauthenticated" in errors, errors)
    code, out, errors = world.grpcurl("list")
    holds(code == 0 and "granary.job.v1.JobService" in out, errors)


def web(world, path, body, headers=None, kind="application/grpc-web+proto", **options):
    headers = {"content-type": kind, "x-grpc-web": "1", **(headers or {})}
    return world.client.call("POST", path, body, headers=headers, **options)


@case
def grpc_web_answers_with_trailers_in_the_body(world):
    answer = web(world, LIST, frame(DEFAULT), {"origin": ORIGIN})
    same((answer.status, answer.headers["access-control-allow-origin"]), (200, ORIGIN), answer)
    holds("grpc-status" in answer.headers["access-control-expose-headers"], answer)
    (flags, _), (last, trailers) = unframe(answer.body)
    same((flags, last), (0, 0x80))
    holds(b"grpc-status:0" in trailers, trailers)


@case
def grpc_web_in_text_answers_in_text(world):
    answer = web(world, LIST, web_text(DEFAULT), {"accept": "application/grpc-web-text"}, kind="application/grpc-web-text")
    same((answer.status, answer.headers["content-type"]), (200, "application/grpc-web-text+proto"), answer)
    frames = unframe(b"".join(base64.b64decode(part + b"==") for part in split_base64(answer.body)))
    holds(b"grpc-status:0" in frames[-1][1], frames)


# Each frame may be padded on its own.
def split_base64(data):
    parts, start = [], 0
    for end in range(4, len(data) + 4, 4):
        if data[start:end].endswith(b"=") or end >= len(data):
            parts.append(data[start:end].rstrip(b"="))
            start = end
    return parts


@case
def errors_of_grpc_web_are_in_its_trailers(world):
    answer = web(world, "/granary.metadata.v1.DatasetService/GetDataset", frame(field(1, "projects/default/datasets/none")))
    same((answer.status, answer.headers.get("grpc-status") or b"grpc-status:5" in answer.body), (200, "5"), answer)


@case
def grpc_web_without_a_token_is_refused(world):
    answer = web(world, LIST, frame(DEFAULT), {"origin": ORIGIN}, token=None)
    # So that the page can read it.
    same((answer.status, answer.headers["access-control-allow-origin"]), (401, ORIGIN), answer)


def preflight(world, origin, **asked):
    headers = {"origin": origin, "access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type,x-grpc-web"}
    return world.client.call("OPTIONS", LIST, headers={**headers, **asked}, token=None)


@case
def a_page_that_is_known_may_ask_and_call(world):
    answer = preflight(world, ORIGIN)
    same((answer.status, answer.headers["access-control-allow-origin"]), (200, ORIGIN), answer)
    for word in ("authorization", "content-type", "x-grpc-web", "grpc-timeout"):
        holds(word in answer.headers["access-control-allow-headers"], answer)
    holds("POST" in answer.headers["access-control-allow-methods"] and "access-control-allow-credentials" not in answer.headers, answer)


@each("https://app.example.evil", "https://evil.example", "null", "http://app.example", "https://app.example:8443")
def a_page_that_is_not_known_is_told_nothing(world, origin):
    for answer in (preflight(world, origin), web(world, LIST, frame(DEFAULT), {"origin": origin})):
        holds("access-control-allow-origin" not in answer.headers, answer)


@case
def without_origins_no_page_may_call(world):
    client = world.client_of(world.short)
    answer = client.call("OPTIONS", LIST, headers={"origin": ORIGIN, "access-control-request-method": "POST"}, token=None)
    holds(answer.status == 401 and "access-control-allow-origin" not in answer.headers, answer)


@case
def the_command_does_the_main_job_through_envoy(world):
    subprocess.run([sys.executable, ROOT / "examples" / "make.py"], check=True, capture_output=True)
    cli = world.cli()
    same(cli.json("token", "whoami")["subject"], "local-administrator")
    main_job.apply(cli)
    folders = sorted(folder for folder in (ROOT / "examples" / "data").iterdir() if folder.name.startswith("2"))
    sessions = main_job.ingest(cli, folders)
    holds(any(session["state"] == "SESSION_STATE_PROCESSED" for session in sessions), sessions)
    found = main_job.query(cli)
    holds(found, "the query finds nothing")
    main_job.label(cli, found[0]["name"], "eyes-open")
    main_job.freeze(cli)
    job = main_job.submit(cli)
    same(job["state"], "JOB_STATE_SUCCEEDED", job)
    kinds = {kind for kind, _ in main_job.outputs(cli, job)}
    holds("output" in kinds, kinds)
    holds(cli.run("job", "logs", main_job.JOB).strip(), "no logs")
    to = world.work / "results"
    cli.run("download", "--session", f"job-outputs/{main_job.JOB}-1", "--to", to)
    holds(any(path.is_file() for path in to.rglob("*")), "nothing downloaded")


@case
def the_command_trusts_no_certificate_that_it_does_not_know(world):
    cli = world.cli()
    trusted = os.environ.pop("GRANARY_CA_FILE")
    try:
        cli.run("dataset", "list")
    except Failed as failure:
        holds("of an authority that is not trusted here" in str(failure) and "--ca-file" in str(failure), failure)
    else:
        raise AssertionError("it trusts anybody")
    finally:
        os.environ["GRANARY_CA_FILE"] = trusted


@case
def a_message_of_grpc_above_the_limit_is_refused(world):
    status, message, _, headers = world.client.grpc(LIST, DEFAULT + field(3, "x" * (9 << 20)))
    holds(status in (OUT_OF_RANGE, 8), headers)
