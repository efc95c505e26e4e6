"""Which certificate is served: of the configuration that was taken over, of files that change, and never of files that are bad."""

import asyncio
import datetime as dt
from contextlib import asynccontextmanager

import pytest
import structlog

from mlxd.config.certificates import CertificateFiles
from mlxd.config.loader import load_config
from mlxd.errors import ConfigError
from mlxd.listener import certificates
from mlxd.listener.certificates import Certificates, check_certificates
from tests.support.certificates import Authority
from tests.support.patience import PATIENCE

NOW = dt.datetime.now(dt.UTC)


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture(autouse=True)
def logs():
    with structlog.testing.capture_logs() as captured:
        yield captured


def files_of(pair, table="server.tls"):
    return CertificateFiles(table, pair.certificate, pair.key)


class Store(Certificates):
    """A store that tells when it has served anything."""

    def __init__(self):
        super().__init__()
        self.news = asyncio.Event()

    def _serve(self, prepared):
        super()._serve(prepared)
        self.news.set()

    async def until(self, condition):
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self.news.clear()
                await self.news.wait()


def serving(pair, *roles):
    store = Store()
    store.swap(store.prepare({role: files_of(pair) for role in roles or ("inference",)}))
    return store


def names(store):
    return [state.facts.names for state in store.states()]


@asynccontextmanager
async def following(store):
    """The store follows its files within the block."""
    task = asyncio.create_task(store.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_each_listener_has_its_own(authority, tmp_path):
    one, other = authority.issue(tmp_path, "one.example"), authority.issue(tmp_path, "other.example", stem="other")
    store = Store()
    store.swap(store.prepare({"inference": files_of(one), "admin": files_of(other)}))
    assert names(store) == [("one.example",), ("other.example",)]
    assert store.context("inference") is not store.context("admin")
    assert store.context("metrics") is None


async def test_what_has_not_changed_stays(authority, tmp_path):
    store = serving(authority.issue(tmp_path))
    before = store.context("inference")
    store.swap(store.prepare({"inference": store.states()[0].files}))
    assert store.context("inference") is before  # with the sessions that clients may resume


async def test_a_configuration_with_a_bad_pair_is_refused(authority, tmp_path):
    store = serving(authority.issue(tmp_path, "one.example"))
    other = authority.issue(tmp_path, stem="other")
    other.key.unlink()
    with pytest.raises(ConfigError, match=r"server\.tls\.key: found .*other\.key.* does not exist"):
        store.prepare({"inference": files_of(other)})
    assert names(store) == [("one.example",)]


async def test_files_that_are_served_and_are_bad_now_refuse_no_configuration(authority, tmp_path, logs):
    pair = authority.issue(tmp_path, "one.example")
    store = serving(pair)
    pair.certificate.write_text("nothing")
    store.swap(store.prepare({"inference": files_of(pair)}))
    (state,) = store.states()
    assert state.facts.names == ("one.example",)
    assert "holds no certificate" in state.problem
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["certificate_refused"]


async def test_another_pair_is_taken_over_when_its_files_are_replaced(authority, tmp_path):
    pair = authority.issue(tmp_path, "one.example")
    store = serving(pair, "inference", "admin")
    before = store.context("inference")
    async with following(store):
        authority.issue(tmp_path, "two.example")
        await store.until(lambda: names(store) == [("two.example",)] * 2)
    assert store.context("inference") is not before


async def test_a_bad_pair_keeps_the_old_one_until_a_good_one_comes(authority, tmp_path, logs, monkeypatch):
    monkeypatch.setattr(certificates, "_SECOND_LOOK", 0.01)
    pair = authority.issue(tmp_path, "one.example")
    store = serving(pair)
    async with following(store):
        pair.key.write_bytes(authority.issue(tmp_path, stem="other").key.read_bytes())
        await store.until(lambda: store.states()[0].problem)
        assert names(store) == [("one.example",)]
        assert [line["listener"] for line in logs if line["event"] == "certificate_refused"] == ["inference"]
        authority.issue(tmp_path, "two.example")
        await store.until(lambda: names(store) == [("two.example",)])
        assert store.states()[0].problem is None


async def test_half_a_change_is_no_event(authority, tmp_path, logs):
    pair = authority.issue(tmp_path, "one.example")
    store = serving(pair)
    other = authority.issue(tmp_path, "two.example", stem="other")
    looked = asyncio.Event()
    real, store._look = store._look, lambda: looked.set() or real()
    async with following(store):
        pair.certificate.write_bytes(other.certificate.read_bytes())
        await asyncio.wait_for(looked.wait(), PATIENCE)
        pair.key.write_bytes(other.key.read_bytes())
        await store.until(lambda: names(store) == [("two.example",)])
    assert [line for line in logs if line["log_level"] == "error"] == []


async def test_files_that_are_gone_are_no_change(authority, tmp_path):
    pair = authority.issue(tmp_path, "one.example")
    store = serving(pair)
    async with following(store):
        pair.certificate.unlink()
        pair.key.unlink()
        assert names(store) == [("one.example",)]
        authority.issue(tmp_path, "two.example")
        await store.until(lambda: names(store) == [("two.example",)])


async def test_files_of_another_configuration_are_followed_in_their_place(authority, tmp_path):
    store = serving(authority.issue(tmp_path, "one.example"))
    async with following(store):
        store.swap(store.prepare({"inference": files_of(authority.issue(tmp_path, "other.example", stem="other"))}))
        assert names(store) == [("other.example",)]
        authority.issue(tmp_path, "newer.example", stem="other")
        await store.until(lambda: names(store) == [("newer.example",)])


TIMES = {  # in days from now
    (-10, -1): ["certificate_expired"],
    (-10, 5): ["certificate_expires_soon"],
    (1, 90): ["certificate_not_yet_valid"],
    (-1, 90): [],
}


@pytest.mark.parametrize("days", TIMES)
async def test_doubts_about_its_time(authority, tmp_path, logs, days):
    begin, end = (NOW + dt.timedelta(days=number) for number in days)
    serving(authority.issue(tmp_path, not_before=begin, not_after=end))
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == TIMES[days]


async def test_a_key_that_everybody_may_read(authority, tmp_path, logs):
    pair = authority.issue(tmp_path)
    pair.key.chmod(0o644)
    serving(pair)
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == ["certificate_key_exposed"]


def test_all_that_a_file_names_is_looked_at_with_its_lines(authority, tmp_path):
    authority.issue(tmp_path)
    file = tmp_path / "mlxd.toml"
    good = '[models.m]\nsource = "builtin:smollm2-135m"\n[server.tls]\ncertificate = "tls.pem"\nkey = "tls.key"\n'
    file.write_text(good)
    check_certificates(load_config(file, {}))
    bad = good.replace("tls.key", "none.key")
    bad += '[admin]\nlisten = "127.0.0.1:0"\n[admin.tls]\ncertificate = "tls.key"\nkey = "tls.key"\n'
    file.write_text(bad)
    with pytest.raises(ConfigError) as caught:
        check_certificates(load_config(file, {}))
    assert sorted(caught.value.problems) == [
        f'{file}:5: server.tls.key: found "{tmp_path}/none.key", which does not exist',
        f'{file}:9: admin.tls.certificate: found "{tmp_path}/tls.key", which holds no certificate in PEM ("-----BEGIN CERTIFICATE-----")',
    ]
