"""REST: what people type into curl."""

import json
from urllib.parse import urlencode

from ingress_test.world import case, each, holds, same

DATASETS = "/v1/projects/default/datasets"


def is_problem(answer, status, code, text=""):
    same(answer.status, status, answer)
    same(answer.headers["content-type"], "application/problem+json", answer)
    problem = answer.json()
    same((problem["type"], problem["status"], problem["code"]), ("about:blank", status, code), answer)
    holds(problem["title"] and text in problem["detail"], answer)
    return problem


@case
def a_list_is_answered_as_json_with_the_names_of_the_protos(world):
    world.client.call("POST", f"{DATASETS}?dataset_id=listed", {"display_name": "Listed"})
    answer = world.client.get(DATASETS)
    same((answer.status, answer.headers["content-type"]), (200, "application/json"), answer)
    listed = next(dataset for dataset in answer.json()["datasets"] if dataset["name"].endswith("/listed"))
    same((listed["display_name"], listed["kind"]), ("Listed", "DATASET_KIND_RAW"))
    holds("create_time" in listed and "createTime" not in listed, listed)


@case
def blanks_of_a_query_are_written_as_browsers_do(world):
    world.client.call("POST", f"{DATASETS}?dataset_id=blanks", {})
    assets = f"{DATASETS}/blanks/assets?" + urlencode({"filter": "attributes.fatigue > 3 AND attributes.note = \"1+1\""})
    holds("+%3E+" in assets and "1%2B1" in assets, assets)
    same(world.client.get(assets).status, 200)


@case
def rest_and_the_command_print_the_same(world):
    world.client.call("POST", f"{DATASETS}?dataset_id=same", {})
    rest = world.client.get(f"{DATASETS}/same").json()
    same(rest, world.server.cli().json("dataset", "get", "same"))


@case
def without_a_token_a_call_is_refused(world):
    answer = world.client.get(DATASETS, token=None)
    is_problem(answer, 401, "UNAUTHENTICATED", "Jwt is missing")
    holds("Bearer" in answer.headers["www-authenticate"], answer)


@case
def a_wrong_value_is_named_with_its_field(world):
    problem = is_problem(world.client.get(f"{DATASETS}?page_size=-1"), 400, "INVALID_ARGUMENT", "page_size")
    same(problem["violations"], [{"field": "page_size", "description": "expected 0 to 1000, got -1"}])


@each(
    ('{"knd": "X"}', "dataset.knd"),
    ('{"display_name": "}{", "labels": {"a": 1}}', "dataset.labels"),
    ('{"displayName": "a \\" b", "name ": ""}', "dataset.name?"),
)
def a_field_that_does_not_exist_is_named(world, body, field):
    problem = is_problem(world.client.call("POST", f"{DATASETS}?dataset_id=unknown", body), 400, "INVALID_ARGUMENT", field)
    same(problem["violations"], [{"field": field, "description": "no such field"}])


@each(
    ({"inputs": [{"mapping": "a"}, {"reference": []}]}, "job.inputs[1].reference"),
    ({"parameters": {"level": {"num": 1}}}, "job.parameters.level.num"),
    ({"resources": {"cpu": 1}}, "job.resources.cpu"),
)
def a_field_that_does_not_exist_is_found_within_others(world, body, field):
    problem = is_problem(world.client.call("POST", "/v1/projects/default/jobs", body), 400, "INVALID_ARGUMENT", field)
    same(problem["violations"][0]["field"], field)


@each('{"kind": "DATASET_KIND_FOO"}', '{"kind":', "[", '"', "{]", '{"display_name": {"a": 1}}', "{" * 5000, '{"a":' * 5000)
def a_body_that_makes_no_sense_is_refused(world, body):
    answer = world.client.call("POST", f"{DATASETS}?dataset_id=senseless", body)
    same((answer.status, answer.json()["code"]), (400, "INVALID_ARGUMENT"), answer)


TWICE = "stands in the path already"
NOT_A_STATE = "expected one of JOB_STATE_QUEUED, JOB_STATE_ASSIGNED, "


@each(
    ("datasets?page_sze=1", "page_sze", "no such parameter"),
    ("datasets?page_size=1&&x%3Cy%22=", "x?y?", "no such parameter"),
    ("datasets?dataset.kind=1", "dataset.kind", "no such parameter"),
    ("datasets?parent=projects/other", "parent", TWICE),
    ("datasets?page_size=1&parent=projects/default", "parent", TWICE),
    ("datasets?%70arent=projects/other", "parent", TWICE),
    ("datasets?page_size=many", "page_size", "expected a whole number"),
    ("datasets?pageSize=", "pageSize", "expected a whole number"),
    ("jobs?state=JOB_STATE_FOO", "state", NOT_A_STATE),
    ("jobs?state=queued", "state", NOT_A_STATE),
    ("jobs/none:logs?follow=maybe", "follow", "expected true or false"),
)
def a_parameter_that_makes_no_sense_is_named(world, call, parameter, why):
    problem = is_problem(world.client.get(f"/v1/projects/default/{call}"), 400, "INVALID_ARGUMENT", f"{parameter}: {why}")
    [violation] = problem["violations"]
    same(violation["field"], parameter)
    holds(violation["description"].startswith(why) and "UNSPECIFIED" not in violation["description"], violation)


@each("datasets?page_size=7", "datasets?pageSize=7", "datasets?page%5Fsize=7", "jobs?state=JOB_STATE_QUEUED", "jobs?state=1", "jobs?state=JOB%5FSTATE_QUEUED&")
def a_parameter_that_makes_sense_is_taken(world, call):
    same(world.client.get(f"/v1/projects/default/{call}").status, 200)


@each(
    ({"kind": "DATASET_KIND_FOO"}, "datasets?dataset_id=e", "dataset.kind"),
    ({"kind": 'RAW"'}, "datasets?dataset_id=e", "dataset.kind"),
    ({"role": "owner"}, "members", "member.role"),
    ({"attempts": [{"failure": 0}, {"failure": "BAD"}]}, "jobs?job_id=e", "job.attempts[1].failure"),
)
def a_value_that_an_enum_has_not_is_named_with_its_field(world, body, call, field):
    problem = is_problem(world.client.call("POST", f"/v1/projects/default/{call}", body), 400, "INVALID_ARGUMENT", f"{field}: expected one of ")
    same([violation["field"] for violation in problem["violations"]], [field])


@case
def a_value_of_an_enum_may_be_its_name_or_its_number(world):
    for name, kind in (("by-name", "DATASET_KIND_PROCESSED"), ("by-number", 2), ("not-said", None)):
        answer = world.client.call("POST", f"{DATASETS}?dataset_id={name}", {"kind": kind})
        same((answer.status, answer.json()["kind"]), (200, "DATASET_KIND_PROCESSED" if kind else "DATASET_KIND_RAW"), answer)


@case
def what_is_not_there_is_not_found(world):
    problem = is_problem(world.client.get(f"{DATASETS}/none"), 404, "NOT_FOUND", "projects/default/datasets/none not found")
    same(problem["details"][0]["resource_name"], "projects/default/datasets/none")


@each("/v1/nothing", "/v2/projects", "/metrics", "/config_dump", "/v1/projects/default/datasets/a/b/c")
def a_path_that_is_none_is_not_found(world, path):
    is_problem(world.client.get(path), 404, "NOT_FOUND")


@each("PUT", "DELETE", "OPTIONS")
def a_verb_that_is_none_of_a_path_is_refused(world, verb):
    holds(world.client.call(verb, DATASETS).status in (404, 405), verb)


@case
def what_exists_already_is_a_conflict(world):
    world.client.call("POST", f"{DATASETS}?dataset_id=taken", {"display_name": "a"})
    is_problem(world.client.call("POST", f"{DATASETS}?dataset_id=taken", {"display_name": "b"}), 409, "ALREADY_EXISTS")


@each('quote " brace } bracket ] {"code":1,"message":', '},{"@type":', "ünïcödé \\ \u2028 tab\t", '"details":[{"@type":"type.googleapis.com/google.rpc.BadRequest"')
def texts_come_back_in_problems_as_they_went(world, text):
    answer = world.client.call("POST", f"{DATASETS}?dataset_id=x", {"display_name": text * 300})
    problem = is_problem(answer, 400, "INVALID_ARGUMENT", "dataset.display_name")
    same(problem["violations"][0]["field"], "dataset.display_name")
    answer = world.client.call("POST", "/v1/projects/default/pipelines:plan", {"definition": {"name": text}})
    same(answer.status, 400, answer)
    holds(isinstance(answer.json()["violations"], list), answer)


@case
def changes_name_their_fields(world):
    world.client.call("POST", f"{DATASETS}?dataset_id=changed", {})
    answer = world.client.call("PATCH", f"{DATASETS}/changed?update_mask=display_name", {"display_name": "New"})
    same((answer.status, answer.json()["display_name"]), (200, "New"), answer)
    answer = world.client.call("PATCH", f"{DATASETS}/changed", {"etag": "0", "display_name": "Newer"})
    is_problem(answer, 409, "ABORTED")


@case
def an_error_of_a_stream_is_a_problem_too(world):
    is_problem(world.client.get("/v1/projects/default/jobs/none:watch"), 404, "NOT_FOUND")


@case
def the_openapi_document_is_open_and_true(world):
    answer = world.client.get("/openapi.json", token=None)
    same((answer.status, answer.headers["content-type"]), (200, "application/json"), answer)
    api = answer.json()
    same(api["openapi"], "3.1.0")
    calls = [(verb, path) for path, verbs in api["paths"].items() for verb in verbs]
    holds(len(calls) > 40, len(calls))
    for verb, path in calls:
        path = path.replace("{", "x-").replace("}", "")
        answer = world.client.call(verb.upper(), path, {} if verb != "get" else None)
        holds("Could not resolve" not in answer.body.decode(), f"{verb} {path}: {answer}")
        if path != "/v1/tokens:exchange":
            same(world.client.call(verb.upper(), path, token=None).status, 401, path)


@case
def the_page_is_open_and_may_not_load_anything_from_elsewhere(world):
    answer = world.client.get("/docs", token=None)
    same((answer.status, answer.headers["content-type"]), (200, "text/html; charset=utf-8"), answer)
    policy = answer.headers["content-security-policy"]
    holds("default-src 'none'" in policy and "unsafe" not in policy, policy)
    same(world.client.get("/", token=None).headers["location"], "https://localhost:%d/docs" % world.envoy.port)


@case
def a_key_is_exchanged_without_a_token(world):
    secret = f"granary_{'a' * 60}"
    answer = world.client.call("POST", "/v1/tokens:exchange", {"secret": secret}, token=None)
    is_problem(answer, 401, "UNAUTHENTICATED")
    holds("Jwt" not in answer.json()["detail"] and secret not in json.dumps(answer.json()), answer)
