import hashlib
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from unittest.mock import Mock

import pytest

from mlxd.config.loader import load_config, parse_config
from mlxd.config.schema import Config
from mlxd.errors import ConfigError

MODEL = '[models.m]\nsource = "org/name"\n'


def parse(text, path="mlxd.toml", **environ):
    return parse_config(text, Path(path), environ)


def problems(text, path="mlxd.toml", **environ):
    with pytest.raises(ConfigError) as refused:
        parse(text, path, **environ)
    return refused.value.problems


def test_the_file_is_read_from_disk(tmp_path):
    path = tmp_path / "mlxd.toml"
    path.write_text(MODEL)
    loaded = load_config(path)
    assert loaded.path == path
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert loaded.config.models["m"].source == "org/name"


def test_the_hash_is_of_the_bytes_on_disk_line_ends_included(tmp_path):
    path = tmp_path / "mlxd.toml"
    path.write_bytes(MODEL.replace("\n", "\r\n").encode())
    assert load_config(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_missing_file_is_refused_not_taken_for_an_empty_one(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml: no such file; name the configuration with --config"):
        load_config(tmp_path / "none.toml")


def test_a_directory_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="found a directory"):
        load_config(tmp_path)


def test_a_file_in_a_file_is_refused(tmp_path):
    (tmp_path / "plain").touch()
    with pytest.raises(ConfigError, match="cannot be read: Not a directory"):
        load_config(tmp_path / "plain" / "mlxd.toml")


def test_an_unreadable_file_is_refused(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # tests may run as root, whom no mode stops
    with pytest.raises(ConfigError, match="may not be read by this user"):
        load_config(tmp_path / "mlxd.toml")


def test_a_huge_file_is_refused(tmp_path):
    path = tmp_path / "mlxd.toml"
    path.write_text("#" * (4 * 2**20 + 1))
    with pytest.raises(ConfigError, match="larger than 4 MiB"):
        load_config(path)


@pytest.mark.parametrize("nested", ["x = " + "[" * 5000 + "]" * 5000, "x = " + "{a=" * 5000 + "1" + "}" * 5000])
def test_absurd_nesting_is_refused(nested):
    assert problems(nested) == ["mlxd.toml: nested too deeply; the configuration needs a depth of five"]


def test_the_environment_never_overrides_the_file(monkeypatch):
    for name in ("SERVER", "server", "MODELS", "models", "LOG__LEVEL", "log"):
        monkeypatch.setenv(name, '{"m": {"source": "org/other"}}')
    loaded = parse(MODEL)
    assert loaded.config == Config.model_validate({"models": {"m": {"source": "org/name"}}})
    assert loaded.config.log.level == "info"


def test_a_dotenv_file_never_overrides_the_file(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text('log={"level": "debug"}\n')
    monkeypatch.chdir(tmp_path)
    assert parse(MODEL).config.log.level == "info"


@pytest.mark.parametrize("name", ["_env_file", "_cli_parse_args", "_secrets_dir", "__pydantic_self__", "_build_sources"])
def test_no_key_of_the_file_is_an_argument_of_the_library(name):
    assert problems(f"{name} = true\n{MODEL}")[0].startswith(f"mlxd.toml:1: {name}: unknown key")


def test_the_configuration_cannot_be_changed():
    config = parse(MODEL).config
    with pytest.raises(ValueError, match="frozen"):
        config.models["m"].batching.max_queue = 3


def test_defaults_reach_every_model_and_each_may_override():
    loaded = parse(
        "[defaults.sampling]\ntemperature = 0.5\ntop_p = 0.9\n[models.a]\nsource = 'org/a'\n[models.b]\nsource = 'org/b'\n"
        "[models.b.sampling]\ntemperature = 0\n"
    )
    a, b = loaded.config.models["a"].sampling, loaded.config.models["b"].sampling
    assert (a.temperature, a.top_p, b.temperature, b.top_p) == (0.5, 0.9, 0.0, 0.9)
    assert loaded.config.defaults.sampling.temperature == 0.5


def test_a_model_may_go_back_to_the_schemas_default():
    loaded = parse("[defaults.batching]\nmax_queue = 3\n" + MODEL + "batching.max_queue = 256\n")
    assert loaded.config.models["m"].batching.max_queue == 256


def test_provenance_points_at_the_model_or_at_the_defaults():
    loaded = parse(
        "[defaults.sampling]\ntemperature = 0.5\ntop_p = 0.9\n\n[models.'a:b']\nsource = 'org/a'\nsampling = { temperature = 0 }\n"
    )
    assert loaded.provenance["defaults.sampling.temperature"] == 2
    assert loaded.provenance['models."a:b".source'] == 6
    assert loaded.provenance['models."a:b".sampling.temperature'] == 7
    assert loaded.provenance['models."a:b".sampling.top_p'] == 3
    assert 'models."a:b".sampling.top_k' not in loaded.provenance
    with pytest.raises(TypeError):
        loaded.provenance["x"] = 1


def test_a_relative_source_starts_from_the_file(tmp_path):
    (tmp_path / "conf").mkdir()
    path = tmp_path / "conf" / "mlxd.toml"
    path.write_text(
        "[models.a]\nsource = './a'\n[models.b]\nsource = '../b'\n[models.c]\nsource = '/srv/c'\n[models.d]\nsource = 'org/d'\n"
    )
    sources = {name: model.source for name, model in load_config(path).config.models.items()}
    assert sources["a"] == str(tmp_path / "conf" / "a")
    assert Path(sources["b"]).resolve() == tmp_path / "b"
    assert sources["c"] == "/srv/c"
    assert sources["d"] == "org/d"


def test_a_relative_configuration_path_gives_absolute_sources(tmp_path, monkeypatch):
    (tmp_path / "mlxd.toml").write_text("[models.a]\nsource = './a'\n")
    monkeypatch.chdir(tmp_path)
    loaded = load_config(Path("mlxd.toml"))
    assert loaded.path == tmp_path / "mlxd.toml"
    assert loaded.config.models["a"].source == str(tmp_path / "a")


def test_the_home_directory_is_expanded(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    config = parse("[admin]\nlisten = 'unix:~/a.sock'\n[log]\nfile = '~/mlxd.log'\n[models.m]\nsource = '~/model'\n").config
    assert config.models["m"].source == "/home/ada/model"
    assert config.log.file == "/home/ada/mlxd.log"
    assert [str(address) for address in config.admin.listen] == ["unix:/home/ada/a.sock"]


def test_a_relative_log_file_starts_from_the_file():
    assert parse("[log]\nfile = 'mlxd.log'\n" + MODEL, "/etc/mlxd/mlxd.toml").config.log.file == "/etc/mlxd/mlxd.log"


def test_secrets_come_from_the_given_environment(monkeypatch):
    monkeypatch.setenv("MLXD_KEY", "of-the-process")
    assert parse("[server]\napi_keys = ['env:MLXD_KEY']\n" + MODEL, MLXD_KEY="given").config.server.api_keys == ("given",)


def test_a_secret_file_may_be_relative_and_end_in_a_newline(tmp_path):
    (tmp_path / "token").write_text("abc\n")
    config = parse("[admin]\ntoken = 'file:./token'\n" + MODEL, tmp_path / "mlxd.toml").config
    assert config.admin.token == "abc"


def test_an_open_listener_is_no_second_problem_when_its_key_is_missing():
    found = problems("[server]\nlisten = '0.0.0.0:1'\napi_keys = ['env:NONE']\n" + MODEL)
    assert [problem.split(": ")[1] for problem in found] == ["server.api_keys[0]"]


def test_contradictions_are_reported_beside_wrong_fields():
    found = problems("[log]\nlevel = 'loud'\n[server]\nlisten = '0.0.0.0:1'\n" + MODEL + "aliases = ['m']\n")
    assert [problem.split(": ")[1] for problem in found] == ["log.level", "server.listen", "models.m.aliases[0]"]


def test_the_first_of_a_pair_that_contradict_each_other_is_named_when_only_it_is_written():
    found = problems("[defaults.worker]\nrestart_backoff = '2m'\n" + MODEL)
    assert found[0].startswith("mlxd.toml:2: defaults.worker.restart_backoff: ")


def test_secrets_are_in_no_repr():
    loaded = parse("[server]\napi_keys = ['sesame-1']\n[admin]\ntoken = 'sesame-2'\nread_token = 'sesame-3'\n" + MODEL)
    assert "sesame" not in repr(loaded)


def test_no_traceback_leads_to_a_secret():
    text = "[admin]\ntoken = ['sesame']\n" + MODEL
    with pytest.raises(ConfigError) as refused:
        parse(text)
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None or refused.value.__suppress_context__


def test_tracing_without_its_extra_says_what_to_install(monkeypatch):
    text = "[tracing]\nenabled = {}\n" + MODEL
    assert parse(text.format("true")).config.tracing.enabled
    monkeypatch.setattr("importlib.metadata.version", Mock(side_effect=PackageNotFoundError))
    [problem] = problems(text.format("true"))
    assert problem == (
        "mlxd.toml:2: tracing.enabled: found true, which needs OpenTelemetry; "
        'install it with pip install "mlxd[tracing]", or set it to false'
    )
    assert not parse(text.format("false")).config.tracing.enabled
