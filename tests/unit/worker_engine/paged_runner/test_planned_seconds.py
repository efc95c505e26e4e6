"""What a step is expected to take is known before it is computed, for those who watch it."""

from tests.unit.worker_engine.paged_runner.rig import Rig


def test_a_step_is_planned_before_it_runs():
    rig = Rig()
    seen = []
    run = rig.executor.run

    def watched(plan):
        seen.append((plan.rows, rig.runner.planned_seconds))
        return run(plan)

    rig.executor.run = watched
    rig.add("a", range(1, 40), max_tokens=5)
    rig.run()
    assert all(planned > 0 for rows, planned in seen if rows)


def test_one_step_ahead_the_step_that_is_waited_for_counts_too():
    rig = Rig(ahead=True)
    rig.scheduler._budget.seconds = lambda shape: 1.0
    rig.add("a", range(1, 8), max_tokens=5)
    rig.step()
    assert rig.runner.planned_seconds == 1.0
    rig.step()
    assert rig.runner.planned_seconds == 2.0
    rig.step()
    assert rig.runner.planned_seconds == 2.0
