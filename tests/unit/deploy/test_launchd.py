"""The plists, against launchd.plist(5). No Mac has run them."""

import plistlib
from pathlib import Path
from xml.parsers import expat

import pytest

from mlxd.cli.program import build_parser
from mlxd.client.socket_worker import KILL_GRACE, STOP_GRACE, TERM_GRACE
from mlxd.config.schema import ServerTable

LAUNCHD = Path(__file__).parents[3] / "deploy/launchd"
AGENT, DAEMON = LAUNCHD / "org.mlxd.agent.plist", LAUNCHD / "org.mlxd.daemon.plist"

TEXT, WHOLE, YES_NO, TEXTS = str, int, bool, list
_LIMITED = "Core CPU Data FileSize MemoryLock NumberOfFiles NumberOfProcesses ResidentSetSize Stack"
LIMITS = dict.fromkeys(_LIMITED.split(), WHOLE)
# What may stand in a job of ours: launchd ignores what it does not know.
KEYS = {
    "Label": TEXT,
    "ProgramArguments": TEXTS,
    "UserName": TEXT,  # daemons only
    "GroupName": TEXT,  # daemons only
    "InitGroups": YES_NO,  # daemons only
    "WorkingDirectory": TEXT,
    "EnvironmentVariables": {None: TEXT},
    "RunAtLoad": YES_NO,
    "KeepAlive": {"SuccessfulExit": YES_NO, "Crashed": YES_NO, "PathState": {None: YES_NO}, "OtherJobEnabled": {None: YES_NO}},
    "ThrottleInterval": WHOLE,
    "ExitTimeOut": WHOLE,
    "ProcessType": ("Background", "Standard", "Adaptive", "Interactive"),
    "LimitLoadToSessionType": TEXT,
    "SoftResourceLimits": LIMITS,
    "HardResourceLimits": LIMITS,
    "Umask": WHOLE,
    "Nice": WHOLE,
    "StandardInPath": TEXT,
    "StandardOutPath": TEXT,
    "StandardErrorPath": TEXT,
    "AbandonProcessGroup": YES_NO,
}
DAEMONS_ONLY = {"UserName", "GroupName", "InitGroups"}


def load(path):
    return plistlib.loads(path.read_bytes(), fmt=plistlib.FMT_XML)


def is_of(kind, value):
    """``kind``: a type, the words that are allowed, or the kinds of a dictionary's values by key; None there: any key."""
    if isinstance(kind, dict):
        return isinstance(value, dict) and all(is_of(kind.get(key, kind.get(None)), inner) for key, inner in value.items())
    if isinstance(kind, tuple):
        return value in kind
    if kind is TEXTS:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    return type(value) is kind  # bool is no int here


def wrong_keys(job):
    return {key: value for key, value in job.items() if not is_of(KEYS.get(key), value)}


both = pytest.mark.parametrize("path", [AGENT, DAEMON], ids=["agent", "daemon"])


def test_the_table_finds_what_is_wrong():
    job = {"Label": "a", "KeepAlive": {"SuccesfulExit": False}, "Umask": "077", "ExitTimeout": 5, "ProcessType": "interactive"}
    assert wrong_keys(job).keys() == job.keys() - {"Label"}
    assert wrong_keys({"RunAtLoad": 1, "SoftResourceLimits": {"NumberOfFiles": True}}).keys() == {"RunAtLoad", "SoftResourceLimits"}


@both
def test_every_key_is_one_of_launchd_s_and_of_its_type(path):
    assert wrong_keys(load(path)) == {}


@both
def test_no_key_stands_twice(path):
    """plistlib would take the last one, in silence."""
    keys, depth, open_key = [], 0, False

    def start(name, _):
        nonlocal depth, open_key
        depth += name == "dict"
        open_key = name == "key" and depth == 1

    def end(name):
        nonlocal depth, open_key
        depth -= name == "dict"
        open_key = False

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = lambda text: keys.append(text) if open_key else None
    parser.Parse(path.read_bytes(), True)
    assert sorted(keys) == sorted(load(path))


@both
def test_the_label_is_the_file_s_name(path):
    assert load(path)["Label"] == path.stem


@both
def test_every_path_is_absolute(path):
    job = load(path)
    paths = [job["ProgramArguments"][0], job["WorkingDirectory"], job["StandardOutPath"], job["StandardErrorPath"]]
    paths += [argument for argument in job["ProgramArguments"] if argument.endswith(".toml")]
    assert len(paths) == 5
    assert all(one.startswith("/") and "~" not in one and "$" not in one for one in paths)


@both
def test_mlxd_understands_the_arguments(path):
    program, *arguments = load(path)["ProgramArguments"]
    assert Path(program).name == "mlxd"
    args = build_parser().parse_args(arguments)
    assert args.config.suffix == ".toml"
    assert args.wait_for_valid_config  # launchd cannot be told that exit code 78 will be the same again


@both
def test_what_a_server_of_models_needs(path):
    job = load(path)
    assert job["ProcessType"] == "Interactive"  # anything else is throttled
    assert job["RunAtLoad"]
    assert job["KeepAlive"] == {"SuccessfulExit": False}  # alone: conditions are ORed
    assert job["Umask"] == 0o77


@both
def test_it_may_drain_before_it_is_killed(path):
    drain = ServerTable.model_fields["drain_timeout"].default
    assert load(path)["ExitTimeOut"] > 2 * (drain + STOP_GRACE + TERM_GRACE + KILL_GRACE)


def test_the_agent_marks_everything_that_has_to_be_replaced():
    job = load(AGENT)
    assert DAEMONS_ONLY.isdisjoint(job)
    paths = [job["ProgramArguments"][0], job["ProgramArguments"][3], job["WorkingDirectory"], job["StandardErrorPath"]]
    assert all(one.startswith("/Users/YOUR_NAME") for one in paths)


def test_the_daemon_does_not_set_the_limits_of_the_machine():
    """NumberOfFiles and NumberOfProcesses of a system-wide job become sysctls."""
    assert {"SoftResourceLimits", "HardResourceLimits"}.isdisjoint(load(DAEMON))


def test_the_daemon_has_a_user_and_a_home():
    job = load(DAEMON)
    assert job["UserName"] == job["GroupName"] == "_mlxd"
    assert job["EnvironmentVariables"] == {"HOME": job["WorkingDirectory"]}  # and no secret
    assert "YOUR_NAME" not in DAEMON.read_text()
