"""Turns of an agent: each prompt is the last one, what was answered, and a tool's result. What was there before is found."""

import random

import pytest

from tests.unit.worker_engine.paged_runner.rig import BLOCK, Rig

OPENING = [901, 902, 903, 904, 905]  # what a template opens the answer with
MANY = 5  # steps: to look through a thousand blocks takes longer than any of them
KEPT = {"as it was said": 5, "reasoning dropped": 2, "retold": 5}  # how much of the opening stays in the history


class Agent:
    """One conversation. ``history``: how its answers stand in the next prompt."""

    def __init__(self, rig, name, history, *, system=200):
        self.rig, self.name, self.history = rig, name, history
        self.chance = random.Random(name)  # noqa: S311 - reproducible on purpose
        self.said = self.words(system)
        self.turns = 0
        self.before = 0  # tokens that were there before the new messages

    def words(self, count):
        return [self.chance.randrange(10, 800) for _ in range(count)]

    @property
    def request(self):
        return f"{self.name} {self.turns}"

    def ask(self, answer=11):
        """The next turn begins; the last one is over."""
        self.said += self.words(13)
        self.rig.add(self.request, [*self.said, *OPENING], max_tokens=answer)

    def take(self):
        """The answer becomes history."""
        opening = OPENING[: KEPT[self.history]]
        self.before = len(self.said) + len(opening)
        answer = self.rig.tokens[self.request]
        if self.history == "as it was said":
            self.before += len(answer) - 1  # the last one was never computed
        self.said += [*opening, *(answer if self.history == "as it was said" else self.words(7)), 950]
        self.turns += 1

    def check(self):
        assert self.rig.started[self.request].cached_tokens >= self.before - BLOCK

    def turn(self):
        self.ask()
        while self.request not in self.rig.ended:
            self.rig.step()
        if self.turns:
            self.check()
        self.take()


@pytest.fixture(params=KEPT)
def history(request):
    return request.param


@pytest.mark.parametrize("snapshots", [None, 12])
@pytest.mark.parametrize("step_tokens", [6, 30, 500])
def test_all_before_the_new_messages_is_found(history, snapshots, step_tokens):
    rig = Rig(blocks=256, snapshots=snapshots, step_tokens=step_tokens, checked=MANY)
    agent = Agent(rig, "a", history)
    for _ in range(6):
        agent.turn()
    assert rig.all_right(*rig.ended)


@pytest.mark.parametrize("snapshots", [None, 24])
def test_all_is_found_while_another_long_prompt_is_computed(history, snapshots):
    rig = Rig(blocks=768, snapshots=snapshots, step_tokens=24, checked=MANY)
    agent = Agent(rig, "a", history)
    agent.turn()
    rig.add("long", list(range(1000, 2700)), max_tokens=3)
    for _ in range(5):
        agent.turn()
    assert "long" not in rig.ended
    rig.run()
    assert rig.all_right(*rig.ended)


@pytest.mark.parametrize("snapshots", [None, 32])
def test_three_agents_find_their_own_in_a_pool_full_of_what_others_said_before(history, snapshots):
    rig = Rig(blocks=512, snapshots=snapshots, step_tokens=60, checked=MANY)
    for number in range(35):
        rig.add(f"before {number}", range(1000 * number, 1000 * number + 60), max_tokens=3)
    rig.run()
    assert rig.manager.counts().free < 0.2 * 512
    agents = [Agent(rig, name, history) for name in "abc"]
    for _ in range(5):
        for agent in agents:
            agent.turn()
    assert rig.all_right(*rig.ended)


@pytest.mark.parametrize("snapshots", [None, 16])
def test_agents_with_one_system_prompt_find_it_from_the_third_on_at_the_latest(snapshots):
    rig = Rig(blocks=512, snapshots=snapshots, step_tokens=24, checked=MANY)
    system = Agent(rig, "system", "retold").words(203)
    for number in range(4):
        rig.add(str(number), [*system, *range(10 * number, 10 * number + 9)], max_tokens=3)
        rig.run()
    assert [rig.started[str(number)].cached_tokens >= 200 for number in (2, 3)] == [True, True]


def test_those_that_come_together_with_one_system_prompt_compute_it_once_though_the_first_has_it_already():
    """Keys and values are there, the recurrent state is not: one computes it for all."""
    rig = Rig(blocks=512, snapshots=16, step_tokens=500, max_sequences=16, checked=MANY)
    system = Agent(rig, "system", "retold").words(200)
    rig.add("first", [*system, *range(30)], max_tokens=3)
    rig.run()
    before = rig.executor.computed
    for number in range(8):
        rig.add(str(number), [*system, 20 + number, 7, 8], max_tokens=3)
    rig.run()
    assert rig.executor.computed - before < 200 + 8 * 12
    assert rig.all_right(*rig.ended)
