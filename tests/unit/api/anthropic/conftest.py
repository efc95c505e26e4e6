import msgspec

from mlxd.config.schema import ModelTable
from tests.support.fake_registry import READY, FakeModel


def model(**ready):
    """Returns a model whose worker said this when it became ready."""
    return FakeModel("tiny", ModelTable.model_validate({"source": "org/tiny"}), ready=msgspec.structs.replace(READY, **ready))
