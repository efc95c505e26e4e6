"""What importing mlx_lm does to the process: it may set no limit of open files, which may be fewer than it wants, and read files once."""

import subprocess
import sys
from pathlib import Path

import transformers.utils.import_utils as quick

LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
{code}
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def told(code, soft, hard):
    """What ``code``, which imports it, prints, and that the limit stays as it was."""
    command = [sys.executable, "-c", LIMITED.format(soft=soft, hard=hard, code=code)]
    *lines, limit = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout.splitlines()
    assert limit == f"{soft} {hard}"
    return lines[-1].split()


ONCE = """
import builtins, collections
opened, open_file = collections.Counter(), builtins.open
def counting(file, *arguments, **options):
    opened.update([str(file)])
    return open_file(file, *arguments, **options)
builtins.open = counting
import mlxd.worker.runtime.start, functools
of_models = [count for file, count in opened.items() if "/transformers/models/" in file and file.count("/models/") == 1]
print(len(of_models), sum(count > 1 for count in of_models), functools.lru_cache.__module__)
"""


def test_the_files_of_transformers_are_read_once_and_few_open_files_may_stay_few():
    files, twice, module = told(ONCE, 256, 1024)
    assert int(files) > 500
    assert int(twice) <= 0.02 * int(files)
    assert module == "functools"


AS_THE_LIBRARY = "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (2048, 4096))\n"
MORE = """
import sys
sys.path.insert(0, {path!r})
from mlxd.worker.runtime.library_import import import_library
import_library()
print(sys.modules["mlx_lm.utils"].__file__)
"""


def test_more_open_files_stay_as_many(tmp_path):
    """A package of the library's name does what it does, in a tenth of the time."""
    (tmp_path / "mlx_lm").mkdir()
    (tmp_path / "mlx_lm/__init__.py").touch()
    (tmp_path / "mlx_lm/utils.py").write_text(AS_THE_LIBRARY)
    assert told(MORE.format(path=str(tmp_path)), 3000, 5000) == [str(tmp_path / "mlx_lm/utils.py")]


def test_what_files_export_is_what_transformers_itself_reads():
    assert not [finder for finder in sys.meta_path if "mlxd" in type(finder).__module__]
    source = Path(quick.__file__).read_text()
    plain = {}
    exec(source[source.index("def fetch__all__") : source.index("@lru_cache", source.index("def fetch__all__"))], plain)  # noqa: S102
    assert quick.fetch__all__.__module__ == "mlxd.worker.runtime.library_import"
    texts = [path.read_text(encoding="utf-8") for path in Path(quick.__file__).parents[1].joinpath("models").rglob("*.py")]
    assert len(texts) > 500
    assert [text for text in texts if quick.fetch__all__(text) != plain["fetch__all__"](text)] == []
