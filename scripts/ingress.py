"""`make ingress`: the platform with Envoy in front of it, up until Ctrl-C.

    python3 scripts/ingress.py DATA_DIR
"""

import os
import signal
import sys
import time
from pathlib import Path

import certificates
from envoy_process import Envoy
from granary_process import Failed, Server, fail, port_taken, program


def main():
    if len(sys.argv) != 2:
        fail(f"usage: {sys.argv[0]} DATA_DIR")
    data_dir = Path(sys.argv[1]).resolve()
    ports = [int(os.environ.get(name, default)) for name, default in
             (("GRANARY_PORT", 7070), ("GRANARY_S3_PORT", 7071), ("GRANARY_INGRESS_PORT", 7443))]
    for port in ports:
        if port_taken(port):
            fail(f"another program listens on 127.0.0.1:{port}: stop it, or set GRANARY_PORT, GRANARY_S3_PORT and GRANARY_INGRESS_PORT")
    tls = data_dir / "ingress" / "tls"
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    certificates.ensure(tls)
    # Where a call came from is what Envoy says.
    server = Server(data_dir, ["--trusted-hops", "1"], ports=tuple(ports[:2]), log=data_dir / "server.log").start()
    envoy = Envoy(data_dir / "ingress", tls, server.endpoint, port=ports[2], data_dir=data_dir)
    try:
        envoy.configure().validate().start()
        where(server, envoy)
        while server.process.poll() is None and envoy.process.poll() is None:
            time.sleep(0.2)
        fail(f"the server or Envoy ended; see {server.log} and {envoy.folder / 'envoy.log'}")
    except KeyboardInterrupt:
        print("\nstopping")
    finally:
        envoy.stop()
        server.stop()


def where(server, envoy):
    shown = os.path.relpath
    token, ca = server.data_dir / "token", envoy.tls / "ca.crt"
    how = f"the local administrator's, in {shown(token)}" if token.exists() else "those of the issuers that are configured"
    print(f"""
  REST and gRPC  {envoy.endpoint} (TLS, by a certificate of {shown(ca)})
  documentation  {envoy.endpoint}/docs and {envoy.endpoint}/openapi.json
  health         {envoy.endpoint}/healthz (Envoy) and {envoy.endpoint}/readyz (the platform behind it)
  token          {how}
  past Envoy     {server.endpoint} (gRPC on this machine)
  access log     {shown(envoy.folder / 'access.log')}, one JSON object a call

Try, in another terminal:

  export GRANARY_ENDPOINT={envoy.endpoint} GRANARY_CA_FILE={ca} GRANARY_TOKEN=$(cat {token})
  curl --cacert $GRANARY_CA_FILE -H "authorization: Bearer $GRANARY_TOKEN" $GRANARY_ENDPOINT/v1/projects/default/datasets
  grpcurl -cacert $GRANARY_CA_FILE -H "authorization: Bearer $GRANARY_TOKEN" -d '{{"parent": "projects/default"}}' \\
    localhost:{envoy.port} granary.metadata.v1.DatasetService/ListDatasets
  {shown(program())} dataset list

Ctrl-C stops it; the data stays.
""", flush=True)


if __name__ == "__main__":
    # Also where a shell started it in the background, with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        main()
    except Failed as failure:
        fail(str(failure))
