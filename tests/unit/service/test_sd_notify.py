"""The datagrams, and what of the environment is ours."""

import os

import pytest

from mlxd.service.sd_notify import NotifySocket, take_notify_socket


def test_lines_are_one_datagram_to_a_path_or_an_abstract_name(systemd):
    found = take_notify_socket({"NOTIFY_SOCKET": systemd.address})
    found.send("READY=1", "STATUS=zwei von drei: größer")
    assert systemd.hear() == {"READY": "1", "STATUS": "zwei von drei: größer"}


def test_what_it_takes_it_removes(tmp_path):
    environ = {"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid()), "HOME": "/"}
    assert take_notify_socket(environ) == NotifySocket("/run/notify", watchdog=3.0)
    assert environ == {"HOME": "/"}


@pytest.mark.parametrize(
    ("environ", "watchdog"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),  # another process is to feed it
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog(environ, watchdog):
    assert take_notify_socket({"NOTIFY_SOCKET": "@name", **environ}) == NotifySocket("\0name", watchdog)


@pytest.mark.parametrize("address", [None, "", "vsock:2:1234", "relative"])
def test_no_socket(address):
    assert take_notify_socket({} if address is None else {"NOTIFY_SOCKET": address}) is None


def test_nobody_there_is_no_error(tmp_path):
    NotifySocket(str(tmp_path / "nobody")).send("READY=1")
    NotifySocket("/" + "x" * 200).send("READY=1")  # longer than the system's addresses
