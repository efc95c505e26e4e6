"""The program itself: which command runs, usage, and how quickly it is there."""

import shutil
import subprocess
import sys

import pytest

import mlxd
from mlxd.cli import exits, files
from mlxd.cli.program import build_parser
from mlxd.errors import ListenError
from tests.support.adapter_files import write_mlx_lm, write_peft
from tests.unit.worker_facts.encoding.copies import DATA, edit
from tests.unit.worker_fetch.model_files import write_model

COMMANDS = [
    *("serve", "validate", "schema", "pull"),
    *("status", "memory", "requests", "log-level", "diff", "reload"),
    *("load", "unload", "drain", "restart", "evict", "cancel", "doctor", "completion"),
]
HEAVY = {"aiohttp", "asyncio", "mlx", "mlx_lm", "psutil", "pydantic", "rich", "shtab", "structlog"}


@pytest.mark.parametrize("command", COMMANDS)
async def test_every_command_has_help(run, command):
    ran = await run(command, "--help")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"usage: mlxd {command} ")


async def test_the_program_s_help_names_every_command(run):
    ran = await run("--help")
    named = [line.split()[0] for line in ran.out.splitlines() if line.startswith("    ") and line[4] != " "]
    assert [name for name in named if name in COMMANDS] == COMMANDS


async def test_version(run):
    assert (await run("--version")).out == f"mlxd {mlxd.__version__}\n"


@pytest.mark.parametrize(
    "arguments", [("no-such-command",), ("load",), ("load", "a", "b"), ("status", "--no-such-option"), ("completion", "ksh")]
)
async def test_usage(run, arguments):
    ran = await run(*arguments)
    assert (ran.code, ran.out) == (64, "")
    assert ran.err.startswith("usage: mlxd")


@pytest.mark.parametrize("arguments", [(), ("--config", "x.toml"), ("serve",)])
def test_options_alone_mean_serve(monkeypatch, arguments):
    seen = []
    monkeypatch.setattr(files, "serve", lambda args: seen.append(args.config) or exits.OK)
    assert mlxd.cli.main(list(arguments)) == 0
    assert [str(path) for path in seen] == [arguments[1] if len(arguments) > 1 else "mlxd.toml"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ListenError("cannot listen on 127.0.0.1:80: permission denied"), 69),
        (BrokenPipeError(), 0),
        (KeyboardInterrupt(), 130),
    ],
)
def test_how_else_a_command_may_end(monkeypatch, error, code):
    def fail(_):
        raise error

    monkeypatch.setattr(files, "serve", fail)
    monkeypatch.setattr("os.dup2", lambda *_: None)
    assert mlxd.cli.main([]) == code


def test_a_crash_of_the_daemon_is_told_in_full(monkeypatch, capsys):
    def crash(_):
        raise RuntimeError("a bug")

    monkeypatch.setattr(files, "serve", crash)
    assert mlxd.cli.main([]) == 70
    said = capsys.readouterr().err
    assert said.startswith("Traceback (most recent call last):")
    assert said.endswith("RuntimeError: a bug\n")


@pytest.mark.parametrize("command", ["schema", "--version"])
def test_the_reader_may_leave(command):
    """As in ``mlxd schema | true``."""
    program = [sys.executable, "-c", "import sys, time; from mlxd.cli import main; sys.stdin.read(); sys.exit(main(sys.argv[1:]))", command]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        child.stdout.close()
        child.stdout = None
        _, said = child.communicate("")
    assert (child.returncode, said) == (0, "")


async def test_validate(run, tmp_path):
    (tmp_path / "mlxd.toml").write_text('[models.a]\nsource = "builtin:smollm2-135m"\n')
    ran = await run("validate")
    assert (ran.code, ran.out) == (0, "mlxd.toml: valid, 1 model(s): a\n")


async def test_validate_says_everything_that_is_wrong(run, tmp_path):
    (tmp_path / "bad.toml").write_text("[server]\nlisen = 1\n")
    ran = await run("validate", "bad.toml")
    assert (ran.code, ran.out) == (78, "")
    assert 'bad.toml:2: server.lisen: unknown key; did you mean "listen"?' in ran.err.splitlines()


async def test_validate_looks_at_the_files_of_adapters_that_are_here(run, tmp_path):
    layers = {"model.layers.0.self_attn.q_proj": (8, 8)}
    write_mlx_lm(tmp_path / "good", layers)
    write_peft(tmp_path / "rank", layers, rank=4, r=8)
    (tmp_path / "npz").mkdir()
    (tmp_path / "npz" / "adapter_config.json").write_text('{"fine_tune_type": "lora"}')
    (tmp_path / "npz" / "adapters.npz").touch()
    tables = "".join(f'[models.a.adapters.{name}]\nsource = "./{name}"\n' for name in ("good", "rank", "npz", "gone"))
    remote = '[models.a.adapters.remote]\nsource = "org/lora"\n'
    (tmp_path / "mlxd.toml").write_text(f'[models.a]\nsource = "org/a"\nbatching.mode = "continuous"\n{tables}{remote}')
    ran = await run("validate")
    assert (ran.code, ran.out) == (78, "")
    rank, npz, gone = ran.err.splitlines()
    assert rank.startswith("mlxd.toml:7: models.a.adapters.rank.source: ")
    assert "rank" in rank.partition("source: ")[2]
    assert npz.startswith(f"mlxd.toml:9: models.a.adapters.npz.source: {tmp_path}/npz/adapters.npz is no safetensors file")
    assert gone.startswith(f"mlxd.toml:11: models.a.adapters.gone.source: {tmp_path}/gone does not exist")
    (tmp_path / "mlxd.toml").write_text(f'[models.a]\nsource = "org/a"\nbatching.mode = "continuous"\n{tables[: len(tables) // 4]}')
    assert (await run("validate")).code == 0


async def test_validate_looks_at_the_files_of_models_that_are_here(run, tmp_path):
    write_model(tmp_path / "generates")
    write_model(tmp_path / "no_weights")
    (tmp_path / "no_weights" / "model.safetensors").unlink()
    for name in ("pooling", "modules", "tokenizer", "dense"):
        shutil.copytree(DATA / "bert_modes", tmp_path / name)
    edit(tmp_path / "pooling", "1_Pooling/config.json", pooling_mode="middle")
    (tmp_path / "modules" / "modules.json").write_text("[]")
    (tmp_path / "tokenizer" / "tokenizer.json").write_text("{}")
    (tmp_path / "dense" / "2_Dense" / "model.safetensors").unlink()
    shutil.copytree(DATA / "bert", tmp_path / "unknown")
    edit(tmp_path / "unknown", "config.json", model_type="deberta-v2")
    names = ("generates", "no_weights", "pooling", "modules", "tokenizer", "dense", "unknown", "gone")
    tables = "".join(f'[models.{name}]\nsource = "./{name}"\n' for name in names)
    long = f'[models.long]\nsource = "{DATA / "bert"}"\ncontext_length = 100000\n'
    (tmp_path / "mlxd.toml").write_text(tables + long)
    ran = await run("validate")
    assert (ran.code, ran.out) == (78, "")
    found = {line.split(": ")[1].split(".")[1]: line for line in ran.err.splitlines()}
    assert list(found) == [*names[1:], "long"]
    assert found["no_weights"].startswith(f"mlxd.toml:4: models.no_weights.source: {tmp_path}/no_weights has no weights")
    assert found["pooling"].startswith(f'mlxd.toml:6: models.pooling.source: {tmp_path}/pooling/1_Pooling/config.json: "pooling_mode" is')
    assert f"{tmp_path}/modules/modules.json is no list of modules" in found["modules"]
    assert f"{tmp_path}/tokenizer/tokenizer.json is no tokenizer" in found["tokenizer"]
    assert f"{tmp_path}/dense/2_Dense/model.safetensors is missing" in found["dense"]
    assert f'{tmp_path}/unknown/config.json: "model_type" is "deberta-v2"' in found["unknown"]
    assert found["long"].startswith("mlxd.toml:19: models.long.context_length: context_length = 100000 is more than the")


async def test_validate_says_what_does_nothing_with_a_model_that_encodes(run, tmp_path):
    inherited = "[defaults.sampling]\ntemperature = 0.5\n"
    own = f'[models.a]\nsource = "{DATA / "bert"}"\nbatching.max_queue = 7\nsampling.temperature = 0.1\ncache.memory = "1GiB"\n'
    (tmp_path / "mlxd.toml").write_text(inherited + own)
    ran = await run("validate")
    assert (ran.code, ran.out) == (0, "mlxd.toml: valid, 1 model(s): a\n")
    rest = "set, which is of models that generate, and this one does not: it does nothing; remove it"
    assert ran.err.splitlines() == [
        f"mlxd.toml:6: models.a.sampling.temperature: {rest}",
        f"mlxd.toml:7: models.a.cache.memory: {rest}",
    ]


def test_the_parser_is_built_without_anything_heavy():
    script = f"import sys; from mlxd.cli.program import build_parser; build_parser(); print(*sorted({HEAVY!r} & sys.modules.keys()))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "\n"


def test_no_two_commands_share_a_parser():
    assert build_parser() is not build_parser()
