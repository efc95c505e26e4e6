"""The standard ``process_*`` metrics of the daemon itself, on systems with and without /proc."""

import resource
from collections.abc import Iterator
from pathlib import Path

import psutil
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector


def process_collector() -> Collector:
    """Returns the client library's own collector where /proc exists; elsewhere (macOS) it would silently export nothing."""
    return ProcessCollector(registry=None) if Path("/proc/self/stat").exists() else PsutilCollector()


class PsutilCollector(Collector):
    """A collector with the same names and meanings as ``prometheus_client.ProcessCollector``, by psutil."""

    def __init__(self) -> None:
        self._process = psutil.Process()

    def collect(self) -> Iterator[Metric]:
        """Yields the figures of the current process."""
        with self._process.oneshot():
            cpu, memory, started = self._process.cpu_times(), self._process.memory_info(), self._process.create_time()
        open_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        yield GaugeMetricFamily("process_virtual_memory_bytes", "Virtual memory size in bytes.", value=memory.vms)
        yield GaugeMetricFamily("process_resident_memory_bytes", "Resident memory size in bytes.", value=memory.rss)
        yield GaugeMetricFamily("process_start_time_seconds", "Start time of the process since unix epoch in seconds.", value=started)
        yield CounterMetricFamily("process_cpu_seconds", "Total user and system CPU time spent in seconds.", value=cpu.user + cpu.system)
        yield GaugeMetricFamily("process_open_fds", "Number of open file descriptors.", value=self._process.num_fds())
        yield GaugeMetricFamily("process_max_fds", "Maximum number of open file descriptors.", value=open_files)
