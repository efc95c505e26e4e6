"""What one request asks a worker to do: a job for each choice of its answer."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from mlxd.api.keys import ReadyModel
from mlxd.config.principal import Principal
from mlxd.errors import InvalidRequestError, MlxdError
from mlxd.types import RunnerKind, SamplingParams
from mlxd.wire.jobs import Generate
from mlxd.wire.prompts import Prompt

_SEED_BYTES = 8
_LARGEST_SEED = 2**63 - 1
_MOST_BYTES = 2**25  # of the prompts of one request's jobs, half of what a worker may be behind with


@dataclass(frozen=True, kw_only=True)
class Jobs:
    """The jobs of one request in the order of their choices: ``per_prompt`` for its first prompt, as many for the next."""

    all: Sequence[Generate]
    per_prompt: int = 1

    @property
    def prompts(self) -> list[Prompt]:
        """Returns the prompts, each once."""
        return [job.prompt for job in self.all[:: self.per_prompt]]

    def asking(self, prompt: Prompt) -> "Jobs":
        """Returns the jobs with this prompt, in the place of the one that all of them have."""
        return Jobs(all=[msgspec.structs.replace(job, prompt=prompt) for job in self.all], per_prompt=self.per_prompt)

    def located(self, error: MlxdError, choice: int) -> MlxdError:
        """Returns the error of a choice, which names its prompt where there are several."""
        if len(self.all) > self.per_prompt and error.param == "prompt":
            error.param = f"prompt[{choice // self.per_prompt}]"
        return error


def fanned_out(job: Generate, prompts: Sequence[Prompt], per_prompt: int) -> Jobs:
    """Returns ``job`` for each of the prompts, so many times. Their ids are its own and a number, where there are several.

    A prompt's first job has the seed that is asked for, so that it says what it says alone; the others' seeds come from that.
    """
    total = len(prompts) * per_prompt
    if total == 1:
        return Jobs(all=[msgspec.structs.replace(job, prompt=prompts[0])])
    made = [
        msgspec.structs.replace(
            job,
            id=f"{job.id}-{choice}",
            prompt=prompts[choice // per_prompt],
            sampling=_seeded(job.sampling, choice % per_prompt),
            parent=job.id,
            behind=total - 1 - choice,
        )
        for choice in range(total)
    ]
    return Jobs(all=made, per_prompt=per_prompt)


def answered_with(jobs: Jobs, adapter: str) -> Jobs:
    """Returns the jobs as those of an adapter; of the model as it is, where that is empty."""
    return Jobs(all=[msgspec.structs.replace(job, adapter=adapter) for job in jobs.all], per_prompt=jobs.per_prompt) if adapter else jobs


def held_by(jobs: Jobs, holder: Principal) -> Jobs:
    """Returns the jobs as those of the holder of a key: none has a better priority than it may ask for, and they share what is cached with
    whom it shares.
    """
    name = holder.name if holder.is_named else ""
    made = [msgspec.structs.replace(job, priority=holder.bounded(job.priority), salt=holder.salt, holder=name) for job in jobs.all]
    return Jobs(all=made, per_prompt=jobs.per_prompt)


def check_room(jobs: Jobs, model: ReadyModel) -> None:
    """Raises ``InvalidRequestError`` for more jobs than the model takes at once, even when nobody else asks anything of it."""
    limits = model.client.limits or model.ready.limits
    most = limits.max_queue + (1 if model.ready.runner == RunnerKind.SIMPLE else limits.max_sequences)
    if len(jobs.all) > most:
        raise InvalidRequestError(
            f"the request asks for {len(jobs.all)} answers, but the model {model.name!r} takes {most} at once, running and waiting ones; "
            "ask for fewer, or raise batching.max_queue",
            param="prompt" if jobs.per_prompt == 1 else "n",
        )


def check_bounds(jobs: Jobs, model: ReadyModel) -> None:
    """Raises ``ContextLengthError`` for a prompt that the model's context cannot hold, whatever its tokens are: it is not even sent."""
    bounds = model.ready.bounds
    if bounds is None:
        return
    for number, prompt in enumerate(jobs.prompts):
        try:
            bounds.check(prompt)
        except MlxdError as error:
            raise jobs.located(error, number * jobs.per_prompt) from None


def check_size(jobs: Jobs, size: int) -> None:
    """Raises ``InvalidRequestError`` where several answers to prompts of ``size`` bytes, predictions of answers among them, are more than a
    worker can be sent at once: each job has them with it.
    """
    if jobs.per_prompt > 1 and size * jobs.per_prompt > _MOST_BYTES:
        most = max(1, _MOST_BYTES // size)
        raise InvalidRequestError(f"n ({jobs.per_prompt}) is too much for a prompt of {size} bytes; it may be {most} at most", param="n")


def _seeded(sampling: SamplingParams, number: int) -> SamplingParams:
    if sampling.seed is None or number == 0:
        return sampling
    # Not seed + number: whoever asks again with the next seed wants other answers than these.
    digest = hashlib.blake2b(f"{sampling.seed}/{number}".encode(), digest_size=_SEED_BYTES).digest()
    return msgspec.structs.replace(sampling, seed=int.from_bytes(digest) & _LARGEST_SEED)
