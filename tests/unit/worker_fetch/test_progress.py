from mlxd.worker.fetch.progress import INTERVAL, Throttled


class Recorder:
    def __init__(self):
        self.now = 0.0
        self.seen = []
        self.throttled = Throttled(lambda *report: self.seen.append(report), clock=lambda: self.now)


def test_first_and_last_pass_and_those_between_are_thinned():
    recorder = Recorder()
    for done in range(101):
        recorder.now += INTERVAL / 10
        recorder.throttled("fetching", done, 100)
    assert recorder.seen[0] == ("fetching", 0, 100)
    assert recorder.seen[-1] == ("fetching", 100, 100)
    assert 10 <= len(recorder.seen) <= 13


def test_never_backwards_never_beyond_the_total():
    recorder = Recorder()
    for done in (50, 20, 130):
        recorder.now += INTERVAL
        recorder.throttled("fetching", done, 100)
    assert recorder.seen == [("fetching", 50, 100), ("fetching", 100, 100)]


def test_a_new_stage_is_told_at_once_and_counts_from_its_own_start():
    recorder = Recorder()
    recorder.throttled("fetching", 90, 100)
    recorder.throttled("converting", 1, 100)
    assert recorder.seen == [("fetching", 90, 100), ("converting", 1, 100)]


def test_unknown_total():
    recorder = Recorder()
    recorder.throttled("fetching", 0, 0)
    recorder.now += INTERVAL
    recorder.throttled("fetching", 7, 0)
    assert recorder.seen == [("fetching", 0, 0), ("fetching", 7, 0)]
