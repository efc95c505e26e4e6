"""Which process of pytest-xdist runs what: a file stays in one process, files that share something dear do, and the longest go first.

Tests of one file may build on each other, and share daemons and models by fixtures of their module. Where tests take long and have nothing
in common, each goes by itself (``APART``), so that the last process does not run alone for minutes. Where there are more processes than
cores, those that are beyond them take only what waits for most of its time (``WAITING``), and collect nothing else.
"""

import os
from functools import cached_property

from xdist.scheduler import LoadScopeScheduling

# Files that share what takes seconds to make, a fixture of the session or what is kept of the sources: one process makes it, once.
TOGETHER = {
    "the default model": (
        "tests/e2e/test_batching.py",
        "tests/e2e/test_chat_api.py",
        "tests/e2e/test_messages_api.py",
        "tests/e2e/test_real_model.py",
        "tests/e2e/test_responses_api.py",
        "tests/e2e/test_several_answers.py",
    ),
    "real tokenizers": (
        "tests/worker/encoding/test_judging.py",
        "tests/worker/test_harmony_oracle.py",
        "tests/worker/test_real_tokenizers.py",
    ),
    "the sources": (
        "tests/unit/test_architecture_page.py",
        "tests/unit/test_house.py",
        "tests/unit/test_layers.py",
    ),
}

APART = {"tests/worker/test_faults.py"}

# What takes long, the longest first; all else follows in the order of collection.
FIRST = (
    "the default model",
    "tests/worker/test_faults.py",
    "tests/worker/test_paged_runner.py",
    "tests/worker/requests/test_turns.py",
    "tests/worker/requests/test_answers.py",
    "tests/worker/test_architectures.py",
    "tests/worker/test_simple_runner.py",
    "tests/worker/test_windows.py",
    "tests/unit/worker_engine/paged_runner/test_faults.py",
    "tests/unit/worker_engine/paged_runner/test_conversations.py",
    "tests/worker/test_worker_process.py",
    "tests/worker/test_contiguous_runner.py",
    "tests/unit/admin/test_openapi_conformance.py",
    "tests/e2e/test_openapi_conformance.py",
    "tests/worker/test_not_finite.py",
    "tests/worker/test_quantized_models.py",
    "tests/e2e/test_memory_books.py",
)

# What waits rather than computes: for Prometheus and its clock, for daemons and workers that begin and end.
WAITING = (
    "tests/e2e/test_alerts.py",
    "tests/e2e/test_prometheus.py",
    "tests/e2e/test_start_stop.py",
    "tests/e2e/test_crash.py",
    "tests/e2e/test_reload.py",
    "tests/e2e/test_random_edits.py",
    "tests/e2e/test_control_plane.py",
    "tests/e2e/test_scrapes.py",
    "tests/e2e/test_vllm_dashboard.py",
    "tests/e2e/test_cancellation.py",
    "tests/e2e/test_memory_pressure.py",
    "tests/e2e/test_exchange.py",
    "tests/e2e/test_keys.py",
    "tests/e2e/test_reverse_proxy.py",
    "tests/e2e/test_tls.py",
    "tests/e2e/test_key_value_types.py",
    "tests/e2e/test_adapters.py",
    "tests/e2e/test_agent_conversation.py",
    "tests/e2e/test_minilm.py",
    "tests/e2e/test_lost_log.py",
    "tests/e2e/test_disk_cache.py",
    "tests/e2e/test_fair_shares.py",
    "tests/e2e/test_draft_model.py",
    "tests/unit/worker_fetch/test_hub.py",
    "tests/unit/worker_fetch/test_pull.py",
)

# What needs no MLX, and no library that takes seconds to be imported.
_ROOMS = "cli client config control deploy disk_cache listener observability service terminal worker_engine worker_fetch worker_kv"
SOON = tuple(f"tests/unit/{room}/" for room in _ROOMS.split())

CORES = os.cpu_count()

_GROUPS = {file: group for group, files in TOGETHER.items() for file in files}
_RANKS = {name: rank for rank, name in enumerate((*WAITING, *FIRST))}


class Distribution(LoadScopeScheduling):
    """A unit of work is a file, a group of files, or a test of a file whose tests go apart."""

    def __init__(self, config, log=None):
        super().__init__(config, log)
        config.option.loadscopereorder = False  # by number of tests; ours is by what they take

    def schedule(self):
        if self.collection is None:  # the first time
            found = sorted(self.registered_collections.items(), key=lambda one: self._waits(one[0]))
            self.registered_collections = {node: Collection(collection) for node, collection in found}
        super().schedule()

    def _split_scope(self, nodeid):
        file = nodeid.partition("::")[0]
        return nodeid if file in APART else _GROUPS.get(file, file)

    def _waits(self, node):
        return only_waits(node.gateway.id, self.numnodes)

    @cached_property
    def _collected(self):
        """Of each process, the units that it has collected."""
        return {node: set(map(self._split_scope, names)) for node, names in self.registered_collections.items()}

    def _check_nodes_have_same_collection(self):
        """Those that have collected everything."""
        found = self.registered_collections
        self.registered_collections = {node: collection for node, collection in found.items() if not self._waits(node)}
        try:
            return super()._check_nodes_have_same_collection()
        finally:
            self.registered_collections = found

    def _assign_work_unit(self, node):
        """The first of its own."""
        mine = next(iter(self._waiting_first(node) if self._waits(node) else self._others_first()), None)
        if mine is None:
            node.shutdown()
            return
        self.workqueue.move_to_end(mine, last=False)
        super()._assign_work_unit(node)

    def _waiting_first(self, node):
        """The units that it has collected, first those that wait."""
        return sorted((scope for scope in self.workqueue if scope in self._collected[node]), key=lambda scope: scope not in WAITING)

    def _others_first(self):
        """The units in order, those last that another process is there for."""
        if not any(self._waits(node) for node in self.nodes):
            return list(self.workqueue)
        return sorted(self.workqueue, key=lambda scope: (scope in WAITING, scope.startswith(SOON)))


class Collection(list):
    """The tests of one process. Each is looked up by its name: to look through thousands each time takes seconds."""

    def __init__(self, names):
        super().__init__(names)
        self._places = {name: place for place, name in enumerate(names)}

    def index(self, name):
        return self._places[name]


def rank(nodeid):
    """Where in the order a test belongs."""
    file = nodeid.partition("::")[0]
    return _RANKS.get(_GROUPS.get(file, file), len(_RANKS))


def collects(file):
    """Whether a process that is there for what waits collects a file of tests."""
    return file in WAITING or file.startswith(SOON)


def only_waits(process, count):
    """Whether a process of ``count``, by its name (``gw2``), is one beyond the cores. One that takes a dead one's place is not."""
    number = int(process.removeprefix("gw")) if process.removeprefix("gw").isdigit() else 0
    return CORES <= number < count
