"""The pages of an application, under the same origin as the API."""

import functools
import http.server
import threading

from ingress_test.rest import is_problem
from ingress_test.world import case, each, holds, same

INDEX, SCRIPT = b"<!doctype html><script src=/app/assets/app.js></script>", b"fetch('/v1/principal')"


# What it says beside the file, of which only its policy gets through.
OF_BUCKET = {
    "set-cookie": "from=bucket", "access-control-allow-origin": "*", "strict-transport-security": "max-age=1", "clear-site-data": '"*"', "alt-svc": "h3", "x-amz-id-2": "x",
    "content-security-policy": "default-src 'self'",
}


class Files(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, as a bucket gives them; `asked` is what reached it."""

    asked = []

    def end_headers(self):
        for name, value in OF_BUCKET.items():
            self.send_header(name, value)
        super().end_headers()

    def do_GET(self):
        self.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        super().do_GET()

    def log_message(self, *_):
        pass


class Bucket:
    def __init__(self, world):
        folder = world.work / "pages"
        (folder / "v1" / "assets").mkdir(parents=True)
        (folder / "secret.txt").write_text("of nobody")
        (folder / "v1" / "index.html").write_bytes(INDEX)
        (folder / "v1" / "assets" / "app.js").write_bytes(SCRIPT)
        handler = type("Asked", (Files,), {"asked": []})
        self.asked = handler.asked
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@functools.cache
def application(world):
    bucket = world.keep(Bucket(world), "stop")
    return bucket, world.client_of(world.envoy_of("pages", "--pages", bucket.url))


@case
def a_page_and_its_files_come_without_a_token_from_the_origin_of_the_api(world):
    _, client = application(world)
    page = client.get("/app/", token=None)
    same((page.status, page.body, page.headers["content-type"]), (200, INDEX, "text/html"))
    same([name for name in OF_BUCKET if name in page.headers], ["content-security-policy"])
    policy = page.headers["content-security-policy"]
    holds("frame-ancestors 'none'" in policy and page.headers["x-content-type-options"] == "nosniff", page)
    same(client.get("/app/assets/app.js", token=None).body, SCRIPT)
    same(client.get("/v1/principal").status, 200)
    same(client.get("/v1/principal", token=None).status, 401)


@each("/app/sessions", "/app/projects/default/sessions/20210229_161221", "/app/a?q=x.y")
def paths_that_name_no_file_are_views_of_the_application(world, path):
    _, client = application(world)
    same(client.get(path, token=None).body, INDEX)


@case
def whoever_opens_the_origin_comes_to_the_application(world):
    _, client = application(world)
    for path in ("/", "/app"):
        answer = client.get(path, token=None)
        same((answer.status, answer.headers["location"].rpartition("localhost")[2].partition("/")[2]), (302, "app/"), answer)
    same(client.get("/docs", token=None).status, 200)


@case
def tokens_cookies_and_addresses_do_not_get_to_the_bucket(world):
    bucket, client = application(world)
    bucket.asked.clear()
    client.get("/app/callback?code=1", headers={"cookie": "a=b", "referer": "https://localhost/app/?code=1", "x-api-key": "k", "accept": "text/html"})
    ((path, headers),) = bucket.asked
    same((path, sorted(headers)), ("/v1/index.html", ["accept", "accept-encoding", "host", "x-forwarded-proto", "x-request-id"]))


@each("/app/../secret.txt", "/app/%2e%2e/secret.txt", "/app/..%2fsecret.txt", "/app/assets/../../../secret.txt", "/app//../secret.txt")
def nothing_beside_the_pages_is_reached(world, path):
    bucket, client = application(world)
    answer = client.get(path, token=None)
    holds(answer.status != 200 and b"nobody" not in answer.body, answer)
    same([asked for asked, _ in bucket.asked if not asked.startswith("/v1/") or ".." in asked], [])


@case
def a_call_for_a_page_has_no_body(world):
    bucket, client = application(world)
    bucket.asked.clear()
    for headers in ({"content-length": "5"}, {"transfer-encoding": "chunked"}):
        body = b"GET /" if "content-length" in headers else b"5\r\nGET /\r\n0\r\n\r\n"
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        answer = client.raw(f"GET /app/assets/app.js HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{head}\r\n".encode() + body)
        holds(answer.startswith(b"HTTP/1.1 400"), answer)
    same(bucket.asked, [])


@case
def what_callers_say_a_page_is_does_not_change_it(world):
    _, client = application(world)
    for kind in ("application/grpc-web", "application/grpc", "application/json"):
        same(client.get("/app/assets/app.js", token=None, headers={"content-type": kind}).body, SCRIPT)


@case
def what_is_not_there_is_not_found_and_nothing_is_written(world):
    _, client = application(world)
    same(client.get("/app/assets/none.js", token=None).status, 404)
    is_problem(client.call("PUT", "/app/assets/app.js", b"x"), 405, "UNKNOWN")


@case
def without_the_setting_there_are_no_pages(world):
    is_problem(world.client.get("/app/", token=None), 401, "UNAUTHENTICATED")
