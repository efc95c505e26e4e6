"""A real daemon, and what systemd hears of it from start to stop. Its workers are fakes."""

import signal

LATER = '[models.tiny]\nsource = "fake/ok"\n[models.later]\nsource = "fake/slow"\n'


def start_under(systemd, start, config):
    return start("--config", config, NOTIFY_SOCKET=systemd.address, WATCHDOG_USEC="1500000")


def test_from_ready_to_stopping(systemd, start, write_config):
    daemon = start_under(systemd, start, write_config())
    first = systemd.hear()
    assert first["READY"] == "1"
    assert "1 model ready" in first["STATUS"]
    assert "serving on 127.0.0.1:" in first["STATUS"]
    if "1 of 1" not in first["STATUS"]:
        systemd.wait_for_status("1 of 1 model ready")
    systemd.wait_for(WATCHDOG="1")
    daemon.stop()
    assert systemd.wait_for(STOPPING="1")["STATUS"].startswith("stopping")
    assert [message for message in systemd.heard if "READY" in message] == [first]


def test_reloads(systemd, start, write_config):
    daemon = start_under(systemd, start, write_config())
    systemd.wait_for(READY="1")
    systemd.wait_for_status("1 of 1 model ready")
    daemon.signal(signal.SIGHUP)
    assert int(systemd.wait_for(RELOADING="1")["MONOTONIC_USEC"]) > 0
    systemd.wait_for(READY="1")

    write_config(listen="lisen")  # the watcher sees it
    systemd.wait_for(RELOADING="1")
    assert 'server.lisen: unknown key; did you mean "listen"?' in systemd.wait_for(READY="1")["STATUS"]

    write_config(LATER)
    systemd.wait_for(RELOADING="1")
    taken_over = systemd.wait_for(READY="1")  # though the new model loads
    assert "1 of 2 models ready, 1 loading" in taken_over["STATUS"]
    daemon.stop()


def test_workers_know_nothing_of_it(systemd, start, write_config):
    daemon = start_under(systemd, start, write_config('[models.slow]\nsource = "fake/slow"\n'))
    systemd.wait_for(READY="1")
    [worker] = daemon.until(lambda: daemon.workers, "a worker")
    daemon.until(lambda: "fake_worker" in " ".join(worker.cmdline()), "it is more than a fork of the daemon")
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} & worker.environ().keys()
    assert worker.environ().keys() >= {"PATH"}
