"""Names of models and adapters that clash."""

from collections.abc import Iterator

from mlxd.config.document import Document
from mlxd.config.given_names import GivenName, given_names
from mlxd.config.keys import dotted
from mlxd.config.names import common_name, is_pattern, specificity
from mlxd.config.problems import Problem, shown
from mlxd.config.schema import Config

_MOST_PATTERNS = 1000  # of all models: each is compared with each


def check_names(config: Config, document: Document) -> Iterator[Problem]:
    """Reports names that are given twice, and pairs of patterns that could not be told apart."""
    owners: dict[str, GivenName] = {}
    for name in given_names(config.models):
        if name.text in owners:
            text = f"found {shown(name.text)}, which is {_told(owners[name.text], document)} already; every name must be given once"
            yield Problem(name.key, text, (name.key,))
        owners.setdefault(name.text, name)
    patterns = [name for name in owners.values() if is_pattern(name.text)]
    for name in patterns[_MOST_PATTERNS : _MOST_PATTERNS + 1]:
        yield Problem(name.key, f"found more than {_MOST_PATTERNS} patterns in all; must be fewer", (name.key,))
    yield from _patterns_are_told_apart(patterns[:_MOST_PATTERNS], document)


def _patterns_are_told_apart(patterns: list[GivenName], document: Document) -> Iterator[Problem]:
    """Reports pairs of patterns, for different things, of which neither is the more specific although a name may match both."""
    for position, later in enumerate(patterns):
        for earlier in patterns[:position]:
            is_decided = earlier.asked == later.asked or specificity(earlier.text) != specificity(later.text)
            both = None if is_decided else common_name(earlier.text, later.text)
            if both is not None:
                found = f"found {shown(later.text)}, as specific as {shown(earlier.text)}, {_told(earlier, document)}"
                text = f"{found}: {shown(both)} matches both; make one of the patterns longer, or give that name to one of the models"
                yield Problem(later.key, text, (later.key, earlier.key))
                break


def _told(name: GivenName, document: Document) -> str:
    kind = "an alias" if name.is_alias else "the name"
    return f"{kind} of {dotted(name.asked.key)} (line {document.line_of(name.key)})"
