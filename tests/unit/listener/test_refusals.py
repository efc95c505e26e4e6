"""What happens often is told seldom, and nothing of it is lost."""

import asyncio

from structlog.testing import capture_logs

from mlxd.listener.security import SecurityRules
from mlxd.listener.sparse_log import OTHERS, SparseLog
from tests.support.patience import PATIENCE


async def test_the_first_is_told_at_once_and_those_after_it_together():
    told, another = [], asyncio.Event()

    def tell(subject, count):
        told.append((subject, count))
        if len(told) == 3:
            another.set()

    log = SparseLog(tell, interval=0.01)
    for subject in ("a", "a", "b", "a"):
        log.note(subject)
    assert told == [("a", 1), ("b", 1)]
    await asyncio.wait_for(another.wait(), PATIENCE)
    assert told[2] == ("a", 2)


async def test_the_table_has_an_end():
    told = []
    log = SparseLog(lambda *line: told.append(line), most_subjects=3)
    for number in range(1000):
        log.note(f"10.0.0.{number}")
    assert told == [("10.0.0.0", 1), ("10.0.0.1", 1), ("10.0.0.2", 1), (OTHERS, 1)]


async def test_whose_key_is_refused_is_told_by_its_address_and_without_the_key(echo):
    echo.rules = SecurityRules(tokens=("right",))
    with capture_logs() as logs:
        for _ in range(5):
            assert (await echo.get(Authorization="Bearer somebodys-secret"))[0] == 401
        assert (await echo.get())[0] == 401
        assert (await echo.get(Authorization="Bearer right"))[0] == 200
    assert [line for line in logs if line["event"] == "key_refused"] == [
        {"event": "key_refused", "peer": "127.0.0.1", "count": 1, "log_level": "warning"}
    ]
    assert "somebodys-secret" not in repr(logs)
