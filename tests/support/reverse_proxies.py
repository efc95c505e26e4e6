"""Real reverse proxies with the configurations that are shipped, in which only addresses and paths are replaced."""

import os
import socket
import subprocess
import time
from contextlib import contextmanager

from tests.support.patience import PATIENCE
from tests.support.prometheus import ROOT, program

NGINX = """\
daemon off;
{user}
worker_processes 1;
pid {dir}/nginx.pid;
events {{}}
http {{
    access_log {dir}/access.log;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    include {dir}/mlxd.conf;
}}
"""
CADDY = "{\n\tadmin off\n\tauto_https off\n\thttp_port %d\n}\n"


def replaced(text, *pairs):
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


@contextmanager
def nginx(directory, upstream, pair):
    """nginx before ``upstream`` ("127.0.0.1:8000", "unix:/path"), as it is shipped; its two ports: of TLS and of plain HTTP."""
    binary = program("nginx")
    port, plain = free_port(), free_port()
    shipped = replaced(
        (ROOT / "deploy/nginx/mlxd.conf").read_text(),
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("listen 80;", f"listen 127.0.0.1:{plain};"),
        ("server 127.0.0.1:8000;", f"server {upstream};"),
        ("/etc/nginx/tls/fullchain.pem", str(pair.certificate)),
        ("/etc/nginx/tls/privkey.pem", str(pair.key)),
    )
    (directory / "mlxd.conf").write_text(shipped)
    main = directory / "nginx.conf"
    main.write_text(NGINX.format(dir=directory, user="user root;" if os.getuid() == 0 else ""))
    with _running([binary, "-p", directory, "-c", main, "-e", "stderr"], directory, port):
        yield port, plain


@contextmanager
def caddy(directory, upstream, pair):
    """Caddy, likewise."""
    binary = program("caddy")
    port, plain = free_port(), free_port()
    unix = upstream.replace("unix:", "unix/", 1)
    shipped = replaced(
        (ROOT / "deploy/caddy/Caddyfile").read_text(),
        (
            "\nmlx.example {",
            f"\nhttps://mlx.example:{port}, https://localhost:{port} {{\n\tbind 127.0.0.1\n\ttls {pair.certificate} {pair.key}",
        ),
        ("reverse_proxy 127.0.0.1:8000 {", f"reverse_proxy {unix} {{"),
    )
    (directory / "Caddyfile").write_text(CADDY % plain + shipped)
    command = [binary, "run", "--adapter", "caddyfile", "--config", directory / "Caddyfile"]
    with _running(command, directory, port):
        yield port, None


@contextmanager
def _running(command, directory, port):
    environment = os.environ | {"HOME": str(directory), "XDG_DATA_HOME": str(directory), "XDG_CONFIG_HOME": str(directory)}
    log = directory / "proxy.log"
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output, env=environment) as process:
        try:
            _wait_listening(process, port, log)
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _wait_listening(process, port, log):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(log.read_text())
