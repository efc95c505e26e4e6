"""TLS of a running daemon: clients over it, certificates that are replaced under a stream, and files that are no good."""

import http.client
import os
import signal
import socket
import ssl
from contextlib import closing
from dataclasses import replace

import openai
import pytest

from tests.e2e.daemon_process import DaemonProcess
from tests.support.certificates import Authority
from tests.support.commands import mlxd
from tests.support.patience import PATIENCE

HELD = {"model": "tiny", "prompt": "hold on to this stream", "stream": True}


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("tls")


def server_of(pair):
    return f'tls.certificate = "{pair.certificate}"\ntls.key = "{pair.key}"'


def models(pair):
    return f'[metrics]\nlisten = "127.0.0.1:0"\n[metrics.tls]\n{pair.toml}[models.tiny]\nsource = "{{dir}}/ok"\n'


@pytest.fixture(scope="module")
def daemon(authority, directory):
    (directory / "ok").mkdir()
    pair = authority.issue(directory)
    with DaemonProcess(directory, models(pair), server=server_of(pair), module="tests.support.fake_daemon") as started:
        started.wait_ready()
        yield started


@pytest.fixture
def pair(daemon, authority, directory):
    """A good pair is in place when the test begins, and is served."""
    pair = authority.issue(directory)
    wait_served(daemon, pair)
    return pair


def wait_served(daemon, pair):
    expected = ssl.PEM_cert_to_DER_cert(pair.certificate.read_text().split("-----END")[0] + "-----END CERTIFICATE-----")
    daemon.until(lambda: served(daemon) == expected, "the certificate is served")


def served(daemon, role="inference"):
    """What a client is shown, in DER."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    host, port = daemon.address(role).rsplit(":", 1)
    with socket.create_connection((host, int(port)), PATIENCE) as plain, context.wrap_socket(plain) as wrapped:
        return wrapped.getpeercert(binary_form=True)


def state(daemon, role="inference"):
    return next(one for one in daemon.admin("/admin/v1/status")[1]["listeners"] if one["role"] == role)["certificate"]


def sdk(daemon, authority):
    client = openai.DefaultHttpxClient(verify=authority.client())
    return openai.OpenAI(base_url=f"https://localhost:{daemon.port}/v1", api_key="none", http_client=client, max_retries=0)


def next_word(daemon, stream):
    """Let the worker of a held stream say one more word, and hear it."""
    os.kill(daemon.model()["pid"], signal.SIGUSR1)
    return next(stream).choices[0].text


def metrics(daemon, authority):
    """The lines of a scrape."""
    host, port = daemon.metrics_address.rsplit(":", 1)
    with closing(http.client.HTTPSConnection(host, int(port), timeout=PATIENCE, context=authority.client())) as connection:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        assert answer.status == 200
        return answer.read().decode().splitlines()


def plain_get(daemon, path="/v1/models"):
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=PATIENCE)
    with closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()


def test_the_sdk_streams_on_while_the_certificate_is_replaced(daemon, authority, directory, pair):
    with sdk(daemon, authority) as client:
        stream = iter(client.completions.create(**HELD))
        words = [next_word(daemon, stream)]
        wait_served(daemon, authority.issue(directory))
        words += [next_word(daemon, stream) for _ in range(3)]
        assert "".join(words).split() == ["on", "to", "this", "stream"]
        assert [event.choices[0].finish_reason for event in stream if event.choices] in ([], ["stop"])
        assert [model.id for model in client.models.list()] == ["tiny"]


def test_who_does_not_trust_it_is_not_served(daemon, authority, pair):
    with (
        openai.OpenAI(base_url=f"https://localhost:{daemon.port}/v1", api_key="none", max_retries=0) as client,
        pytest.raises(openai.APIConnectionError),
    ):
        client.models.list()
    assert [line for line in daemon.events() if line["level"] in ("error", "critical")] == []


def test_plain_http_is_told(daemon, pair):
    status, body = plain_get(daemon)
    assert (status, b"https://" in body) == (400, True)


def test_a_bad_pair_is_not_served_and_the_next_good_one_is(daemon, authority, directory, pair):
    before = served(daemon)
    pair.key.write_text("no key")
    daemon.until(lambda: state(daemon)["problem"], "the problem is seen")
    assert served(daemon) == before
    assert 'mlxd_tls_certificate_current{listener="inference"} 0.0' in metrics(daemon, authority)
    shown = mlxd("status", "--config", daemon.config).stdout
    assert f"https://127.0.0.1:{daemon.port}" in shown
    assert "holds no private key" in " ".join(shown.split())
    status, answer = daemon.admin("/admin/v1/reload", "POST")  # the file has not changed, and what it names is served as it was
    assert (status, answer["result"]) == (200, "unchanged")
    wait_served(daemon, authority.issue(directory))
    assert state(daemon)["problem"] is None
    assert 'mlxd_tls_certificate_current{listener="inference"} 1.0' in metrics(daemon, authority)


def test_a_configuration_that_names_a_bad_pair_is_refused(daemon, directory, pair):
    good = daemon.config.read_text()
    status, answer = daemon.reload(models(pair), server=server_of(replace(pair, key=directory / "none.key")))
    assert (status, answer["result"]) == (409, "refused")
    assert "server.tls.key" in answer["problems"][0]
    assert "does not exist" in answer["problems"][0]
    daemon.config.write_text(good)
    assert daemon.admin("/admin/v1/reload", "POST")[1]["result"] == "unchanged"


def test_tls_is_switched_off_and_on_under_a_stream(daemon, authority, pair):
    with sdk(daemon, authority) as client:
        stream = iter(client.completions.create(**HELD))
        next_word(daemon, stream)
        port = daemon.port
        status, answer = daemon.reload(models(pair))
        assert (status, answer["result"], answer["plan"]["listeners"]) == (200, "applied", [])
        assert plain_get(daemon)[0] == 200
        assert daemon.reload(models(pair), server=server_of(pair))[1]["result"] == "applied"
        assert [next_word(daemon, stream).strip() for _ in range(3)] == ["to", "this", "stream"]
        assert len(list(stream)) <= 1
        assert daemon.port == port
        assert [model.id for model in client.models.list()] == ["tiny"]


def test_metrics_are_served_with_a_certificate_and_tell_when_it_expires(daemon, authority, pair):
    line = next(line for line in metrics(daemon, authority) if line.startswith('mlxd_tls_certificate_expiry_timestamp_seconds{listener="m'))
    assert float(line.split()[1]) > 1.7e9


@pytest.mark.parametrize("command", [["validate"], ["serve", "--config"]])
def test_a_start_with_a_bad_pair_is_refused_with_its_line(authority, tmp_path, command):
    pair = authority.issue(tmp_path)
    pair.key.write_text("")
    file = tmp_path / "mlxd.toml"
    file.write_text(f'[models.tiny]\nsource = "builtin:smollm2-135m"\n[server.tls]\n{pair.toml}')
    ended = mlxd(*command, file)
    assert ended.returncode == 78
    assert f'{file}:5: server.tls.key: found "{pair.key}", which holds no private key' in ended.stderr
