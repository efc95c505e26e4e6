"""Directories for a moment: gone afterwards, or when somebody hears that their process has ended, and nobody else's."""

import os
import tempfile

import pytest

from mlxd.scratch import remove_scratch, scratch_directory


@pytest.fixture(autouse=True)
def _temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_it_is_gone_afterwards_with_all_that_is_in_it(tmp_path):
    with scratch_directory("model") as made:
        (made / "inner").mkdir()
        (made / "inner" / "file").write_text("x")
        (made / "link").symlink_to(tmp_path)
        assert made.parent == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_what_a_process_left_is_removed_and_no_other_s(tmp_path):
    for name in ("mlxd-worker-12-model-a", "mlxd-worker-12-tokenizer-b", "mlxd-worker-123-model-c", "mine"):
        (tmp_path / name).mkdir()
    remove_scratch(12)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "mlxd-worker-123-model-c"]


def test_what_links_lead_to_is_no_part_of_it(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("x")
    with scratch_directory("model") as made:
        (made / "weights").symlink_to(tmp_path / "model" / "weights")
        (made / "all").symlink_to(tmp_path / "model")
        remove_scratch(os.getpid())
        assert not made.exists()
    assert (tmp_path / "model" / "weights").read_text() == "x"


def test_without_a_place_for_temporary_files_nothing_happens(monkeypatch):
    def none():
        raise FileNotFoundError("no usable temporary directory")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    remove_scratch(12)
