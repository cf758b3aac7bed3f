"""API keys of a project, all the way: made, exchanged, used by the command, revoked."""

import os
import subprocess
import time

from granary_process import program
from ingress_test.rest import is_problem
from ingress_test.world import case, holds, same, until

KEYS = "/v1/projects/default/apiKeys"
LOCKED_OUT_WITHIN = 10


def key_of(world, role="PROJECT_ROLE_EDITOR"):
    """A new key: its name and its secret."""
    answer = world.client.call("POST", KEYS, {"role": role, "display_name": "a case"})
    same(answer.status, 200, answer)
    return answer.json()["api_key"]["name"], answer.json()["secret"]


def token_of(world, secret):
    answer = world.client.call("POST", "/v1/tokens:exchange", {"secret": secret}, token=None)
    same(answer.status, 200, answer)
    return answer.json()["token"]


@case
def a_key_is_exchanged_for_a_token_of_its_project_and_no_other(world):
    name, secret = key_of(world)
    token = token_of(world, secret)
    same(world.client.get("/v1/principal", token=token).json()["subject"], name)
    same(world.client.get("/v1/projects/default/datasets", token=token).status, 200)
    world.client.call("POST", "/v1/projects?project_id=others", {})
    same(world.client.get("/v1/projects/others/datasets").status, 200)
    is_problem(world.client.get("/v1/projects/others/datasets", token=token), 404, "NOT_FOUND")
    is_problem(world.client.call("POST", KEYS, {"role": "PROJECT_ROLE_VIEWER"}, token=token), 403, "PERMISSION_DENIED")


@case
def the_command_exchanges_its_key_through_envoy(world):
    _, secret = key_of(world)
    env = {**os.environ, "GRANARY_API_KEY": secret, "GRANARY_CA_FILE": str(world.ca_file)}
    command = [program(), "--endpoint", world.envoy.endpoint, "dataset", "create", "by-key"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    same(done.returncode, 0, done.stderr)
    same(world.client.get("/v1/projects/default/datasets/by-key").status, 200)


@case
def a_revoked_key_is_locked_out_its_running_stream_too(world):
    name, secret = key_of(world, "PROJECT_ROLE_VIEWER")
    token = token_of(world, secret)
    command = ["curl", "-sSN", "--cacert", str(world.ca_file), "-H", f"authorization: Bearer {token}",
               f"{world.envoy.endpoint}/v1/projects/default/events:watch"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as stream:
        try:
            holds("resume_token" in stream.stdout.readline(), "no first line")
            begin = time.monotonic()
            same(world.client.call("POST", f"/v1/{name}:revoke", {}).status, 200)
            until("its calls are refused", lambda: world.client.get("/v1/projects/default/datasets", token=token).status in (401, 403, 404))
            stream.wait(LOCKED_OUT_WITHIN)
        finally:
            stream.kill()
    holds(time.monotonic() - begin < LOCKED_OUT_WITHIN, f"{time.monotonic() - begin:.1f} s")
    is_problem(world.client.call("POST", "/v1/tokens:exchange", {"secret": secret}, token=None), 401, "UNAUTHENTICATED")
