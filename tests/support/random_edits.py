"""Configuration files that somebody in a hurry writes: a seeded walk of edits, of which a third are wrong.

The walk has three kinds of edit: ``good`` (must be applied), ``broken`` (must be refused as a whole) and ``failing`` (valid, but the new
version of model B cannot be loaded: the old one goes on).
"""

import copy
import random
from dataclasses import dataclass
from typing import Any

import tomli_w

GOOD_SOURCES = ("ok", "newer", "needs-100")
BAD_SOURCES = ("damaged", "faulty")


@dataclass(frozen=True)
class Edit:
    kind: str
    name: str
    text: str
    document: dict[str, Any] | None  # what the file says; None where it is broken


class RandomEdits:
    """``base``: the first file's values; ``directory``: where sources are; ``ports``: those that the inference listener may move to."""

    def __init__(self, base, directory, ports, seed):
        self.document = base
        self._directory = directory
        self._ports = ports
        self._random = random.Random(seed)  # noqa: S311 - not for secrets

    def next(self):
        if self._random.random() < 1 / 3:
            return self._broken()
        edit = self._random.choice(
            [
                self._source,
                self._source,
                self._mode,
                self._limits,
                self._alias,
                self._keys,
                self._level,
                self._add_or_remove,
                self._port,
                self._memory,
            ]
        )
        document = copy.deepcopy(self.document)
        failing = edit(document)
        if not failing:
            self.document = document  # what the next edit starts from
        return Edit("failing" if failing else "good", edit.__name__.strip("_"), tomli_w.dumps(document), document)

    # ---- good, or failing ----

    def _source(self, document):
        word = self._random.choice(GOOD_SOURCES + BAD_SOURCES)
        document["models"]["b"]["source"] = f"{self._directory}/{word}"
        return word in BAD_SOURCES

    def _mode(self, document):
        document["models"]["b"]["batching"] = {"mode": self._random.choice(["simple", "continuous"])}

    def _limits(self, document):
        model = document["models"][self._random.choice("ab")]
        model.setdefault("batching", {}).update(
            max_sequences=self._random.randint(1, 64), max_queue=self._random.randint(20, 400), stream_interval=self._random.randint(1, 5)
        )

    def _alias(self, document):
        holder = self._random.choice("ab")
        for name, model in document["models"].items():
            model["aliases"] = ["default"] if name == holder else []

    def _keys(self, document):
        others = [f"key-{self._random.randint(0, 99)}" for _ in range(self._random.randint(0, 2))]
        document["server"]["api_keys"] = ["the-load's", *dict.fromkeys(others)]

    def _level(self, document):
        document["log"]["level"] = self._random.choice(["debug", "info", "warning"])

    def _add_or_remove(self, document):
        if "c" in document["models"]:
            del document["models"]["c"]
        else:
            load = self._random.choice(["eager", "lazy"])
            document["models"]["c"] = {"source": f"{self._directory}/ok", "lifecycle": {"load": load}}

    def _port(self, document):
        document["server"]["listen"] = f"127.0.0.1:{self._random.choice(self._ports)}"

    def _memory(self, document):
        document["memory"] = {"limit": f"{self._random.randint(1000, 9000)}B"}

    # ---- broken ----

    def _broken(self):
        break_it = self._random.choice(
            [self._cut, self._unknown_key, self._wrong_type, self._alias_twice, self._no_variable, self._contradiction, self._nothing]
        )
        return Edit("broken", break_it.__name__.strip("_"), break_it(copy.deepcopy(self.document)), None)

    def _cut(self, document):
        """The editor is not done."""
        text = tomli_w.dumps(document)
        return text[: text.rindex("=") + 2]

    def _unknown_key(self, document):
        document["models"]["a"]["souce"] = "x"
        return tomli_w.dumps(document)

    def _wrong_type(self, document):
        document["server"]["drain_timeout"] = self._random.choice([30, "soon", True])
        return tomli_w.dumps(document)

    def _alias_twice(self, document):
        for model in ("a", "b"):
            document["models"][model]["aliases"] = ["mine"]
        return tomli_w.dumps(document)

    def _no_variable(self, document):
        document["server"]["api_keys"] = ["env:NOBODY_SET_THIS"]
        return tomli_w.dumps(document)

    def _contradiction(self, document):
        document["models"]["b"] |= {"batching": {"mode": "simple"}, "cache": {"kind": "paged"}}
        return tomli_w.dumps(document)

    def _nothing(self, _):
        return ""
