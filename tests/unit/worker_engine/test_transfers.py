"""What is worth reading, and how much is written when."""

from mlxd.worker.engine.transfers import FetchChoice, SpillPace, Transfers

MIB = 2**20


def copied(seconds_per_mib, size=8 * MIB):
    return Transfers(spilled=size, spill_seconds=seconds_per_mib * size / MIB, fetched=size, fetch_seconds=seconds_per_mib * size / MIB)


def test_what_takes_longer_to_read_than_to_compute_is_not_read():
    choice = FetchChoice()
    for _ in range(20):
        choice.observe_read(0.1, MIB)
    assert choice.pays(10 * MIB, 2.0)
    assert not choice.pays(10 * MIB, 0.5)


def test_what_is_written_into_the_cache_takes_time_too():
    choice = FetchChoice()
    for _ in range(20):
        choice.observe_read(0.001, MIB)
        choice.observe(copied(0.1))
    assert not choice.pays(10 * MIB, 0.9)
    assert choice.pays(10 * MIB, 1.1)


def test_a_read_that_something_held_up_once_or_twice_makes_no_disk_slow():
    choice, pace = FetchChoice(), SpillPace(MIB)
    choice.observe_read(3.0, MIB)  # the first one: the disk had to spin up
    assert choice.pays(10 * MIB, 0.5)
    before = pace.idle()
    pace.observe(copied(1.0))
    assert pace.idle() == before
    for _ in range(3):
        choice.observe_read(0.01, MIB)
    for _ in range(2):
        choice.observe_read(3.0, MIB)
        assert choice.pays(10 * MIB, 0.5)


def test_a_disk_that_is_slow_is_known_after_two_reads():
    choice = FetchChoice()
    for _ in range(2):
        choice.observe_read(3.0, MIB)
    assert not choice.pays(10 * MIB, 0.5)


def test_slow_reads_are_not_the_last():
    choice = FetchChoice()
    for _ in range(2):
        choice.observe_read(60.0, MIB)
    refused = 0
    while not choice.pays(10 * MIB, 1.0):
        refused += 1
    assert 10 < refused < 1000


def test_nothing_is_learned_from_nothing():
    choice, pace = FetchChoice(), SpillPace(MIB)
    before = choice.seconds(MIB), pace.idle()
    choice.observe_read(5.0, 0)
    choice.observe(Transfers())
    pace.observe(Transfers())
    assert (choice.seconds(MIB), pace.idle()) == before


def known(seconds_per_mib):
    pace = SpillPace(MIB)
    for _ in range(20):
        pace.observe(copied(seconds_per_mib))
    return pace


def test_copying_ahead_of_need_takes_a_small_share_of_the_steps():
    pace, copied_blocks = known(0.001), 0
    for _ in range(1000):
        blocks = pace.blocks(0.05, leaving=0, wanted=10**6)
        pace.observe(Transfers(spilled=blocks * MIB, spill_seconds=blocks * 0.001))
        copied_blocks += blocks
    assert 0.02 < copied_blocks * 0.001 / (1000 * 0.05) < 0.04


def test_no_step_is_longer_by_more_than_a_stream_may_feel():
    pace = known(0.001)
    for _ in range(100):
        pace.blocks(1.0, leaving=0, wanted=0)
    assert pace.blocks(1.0, leaving=500, wanted=500) <= 20
    assert pace.idle() <= 20


def test_blocks_are_copied_together():
    pace = known(0.001)
    counts = [pace.blocks(0.02, leaving=0, wanted=100) for _ in range(15)]
    assert set(counts) == {0} | {count for count in counts if count >= 8}
    assert max(counts) >= 8
    assert known(0.001).blocks(0.2, leaving=0, wanted=3) >= 3


def test_what_is_evicted_is_copied_at_once():
    assert known(0.001).blocks(0.05, leaving=3, wanted=0) >= 3


def test_a_block_that_takes_longer_than_may_be_is_copied_where_nobody_waits():
    assert known(1.0).blocks(0.05, leaving=1, wanted=1) == 0
    assert known(1.0).idle() == 1


def test_what_is_written_into_the_cache_beside_streams_is_what_these_can_bear():
    choice = FetchChoice()
    for _ in range(20):
        choice.observe(copied(0.01))
    assert 4 * MIB < choice.bearable() < 6 * MIB
