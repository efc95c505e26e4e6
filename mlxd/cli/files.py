"""Commands that need no running daemon: serve, validate, schema, pull."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mlxd.cli import exits
from mlxd.cli.parser import DEFAULT_CONFIG, Commands
from mlxd.lasting_imports import lasting_imports

if TYPE_CHECKING:
    from mlxd.config.loader import LoadedConfig


def add_commands(commands: Commands) -> None:
    parser = commands.add("serve", serve, "serve the models of a configuration file (the default)")
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help="default: mlxd.toml")
    parser.add_argument(
        "--wait-for-valid-config",
        action="store_true",
        help="with a bad file, wait until it is good instead of exiting with 78; for launchd",
    )

    parser = commands.add("validate", _validate, "check a configuration file and say everything that is wrong with it")
    parser.add_argument("config", nargs="?", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help="default: mlxd.toml")

    commands.add("schema", _schema, "print the JSON Schema of the configuration file, for editors")

    parser = commands.add("pull", _pull, "fetch models, so that loading them needs no network")
    parser.add_argument(
        "source", nargs="?", metavar="MODEL", help='"builtin:smollm2-135m", "org/name[@revision]" or a path; default: all that FILE names'
    )
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help="default: mlxd.toml")


def serve(args: argparse.Namespace) -> int:
    """Serves until a signal ends it."""
    with lasting_imports():
        from mlxd.config.loader import load_config
        from mlxd.daemon import serve
        from mlxd.listener.certificates import check_certificates
        from mlxd.service.wait_for_config import wait_for_valid_config

    if args.wait_for_valid_config:
        waited = wait_for_valid_config(args.config, check_certificates)
        return exits.OK if waited is None else serve(waited)
    loaded = load_config(args.config)
    check_certificates(loaded)
    return serve(loaded)


def _validate(args: argparse.Namespace) -> int:
    from mlxd.config.loader import load_config
    from mlxd.listener.certificates import check_certificates

    loaded = load_config(args.config)
    check_certificates(loaded)
    for warning in _check_files(loaded, args.config):
        print(warning, file=sys.stderr)
    print(f"{args.config}: valid, {len(loaded.config.models)} model(s): {', '.join(loaded.config.models)}")
    return exits.OK


def _check_files(loaded: "LoadedConfig", file: Path) -> list[str]:
    """Looks at the files of models and adapters that are here, and returns what of the configuration does nothing with them. Raises
    ``ConfigError`` for those that could not be loaded.
    """
    from mlxd.config.keys import dotted
    from mlxd.config.task_checks import unused, unused_keys
    from mlxd.errors import ConfigError
    from mlxd.terminal.adapter_files import examine_adapters
    from mlxd.terminal.model_files import examine_models

    def line(key: str) -> str:
        return f"{file}:{loaded.provenance[key]}"

    models = examine_models(loaded.config)
    found = [(dotted(one.key), one.error) for one in models]
    found += [(dotted((*one.asked.key, "source")), one.error) for one in examine_adapters(loaded.config)]
    if problems := [f"{line(key)}: {key}: {error}" for key, error in found if error is not None]:
        raise ConfigError(problems)
    keys = [key for one in models if one.task for key in unused_keys(loaded.config.models[one.model], (one.task,))]
    return [f"{line(dotted(key))}: {unused(key)}" for key in keys]


def _schema(_: argparse.Namespace) -> int:
    from mlxd.config.publish.json_schema import json_schema

    print(json.dumps(json_schema(), indent=2))
    return exits.OK


def _pull(args: argparse.Namespace) -> int:
    from mlxd.terminal import console
    from mlxd.terminal.pull import pull

    errors = console.errors()
    models, adapters = _configured(args.config) if args.source is None else ([args.source], [])
    for source in models:
        errors.print(f"{source} is ready in {pull(source, errors)}")
    for source in adapters:
        errors.print(f"{source} is ready in {pull(source, errors, kind='adapter')}")
    return exits.OK


def _configured(config: Path) -> tuple[list[str], list[str]]:
    """Returns the sources of all models of a file, each once, those of draft models included, and those of adapters."""
    from mlxd.config.loader import load_config
    from mlxd.config.model_sources import adapter_sources, model_sources

    models = load_config(config).config.models.values()
    adapters = [one.source for model in models for one in adapter_sources(model)]
    return list(dict.fromkeys(one.source for model in models for one in model_sources(model))), list(dict.fromkeys(adapters))
