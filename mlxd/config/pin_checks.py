"""What is wrong with pins beside each other, and beside the model whose cache they are to stay in."""

from collections.abc import Iterator

from mlxd.config.disk_checks import is_paged
from mlxd.config.document import Document
from mlxd.config.keys import Key
from mlxd.config.pin_table import PinTable
from mlxd.config.problems import Problem, shown
from mlxd.config.schema import Config, ModelTable

MOST_PINS = 32  # of a model


def check_pins(config: Config, document: Document) -> Iterator[Problem]:
    """Reports pins of its own that a model without a paged cache has, pins of the same name, and more than there may be. Those of all
    models are passed over by those that have no use for them.
    """
    for name, model in config.models.items():
        if model.encodes:
            continue
        own: Key = ("models", name, "cache", "pin")
        if model.cache.pin and own in document.lines and not is_paged(model):
            text = 'set, which needs batching.mode = "continuous" and cache.kind = "paged"; elsewhere remove it'
            yield Problem(own, text, (own,))
        yield from _are_told_apart(document.origin(name, "cache", "pin"), model)


def _are_told_apart(at: Key, model: ModelTable) -> Iterator[Problem]:
    pins = model.cache.pin
    if len(pins) > MOST_PINS:
        yield Problem(at, f"found {len(pins)} pins; there may be {MOST_PINS} at most", (at,))
    seen: dict[str, PinTable] = {}
    for position, pin in enumerate(pins):
        if pin.name in seen:
            key: Key = (*at, position, "name")
            yield Problem(key, f"found {shown(pin.name)}, which another pin is called already; give each a name of its own", (at,))
        seen.setdefault(pin.name, pin)
