"""What stands around a model's reasoning, and the grammar of an answer that may begin with some."""

from collections.abc import Collection
from dataclasses import dataclass

from mlxd.types import ReasoningShape
from mlxd.worker.encoded_prompt import Opening
from mlxd.worker.text.constraints.grammar import Rule, composed
from mlxd.worker.text.constraints.vocabulary import Vocabulary, without
from mlxd.worker.text.parsers.harmony import MARKERS
from mlxd.worker.text.shapes import Shapes

HARMONY = frozenset({*MARKERS, "<|constrain|>", "<|call|>", "<|return|>"})  # the markers of its messages

_ANY = "/(?s:.*)/"


@dataclass(frozen=True)
class ReasoningForm:
    """The markers of one model. Behind ``closes`` stands ``resumes``, before more reasoning or anything else; ``closing`` is all that ends
    reasoning which goes on for too long. ``answers`` stand before and behind content where the model marks it, too.
    """

    opens: str
    closes: str
    closing: str
    resumes: str = ""
    repeats: bool = False  # an answer may reason more than once
    answers: tuple[str, str] = ("", "")


def reasoning_form(shapes: Shapes) -> ReasoningForm | None:
    """Returns the form of a model's reasoning; None for a model that has none."""
    if shapes.reasoning is ReasoningShape.HARMONY:
        return _HARMONY
    if shapes.thinking is None:
        return None
    opens, closes = shapes.thinking.opens, shapes.thinking.closes
    match shapes.reasoning:
        case ReasoningShape.COHERE:
            return ReasoningForm(opens, closes, closes, answers=("<|START_RESPONSE|>", "<|END_RESPONSE|>"))
        case ReasoningShape.THINK:
            return ReasoningForm(opens, closes, f"\n{closes}\n\n")
        case _:
            return ReasoningForm(opens, closes, closes)


_HARMONY = ReasoningForm(
    opens="<|channel|>analysis<|message|>",
    closes="<|end|>",
    closing="<|end|><|start|>assistant<|channel|>final<|message|>",
    resumes="<|start|>assistant",
    repeats=True,
    answers=("<|channel|>final<|message|>", ""),
)


def content_after(form: ReasoningForm, content: Rule, vocabulary: Vocabulary) -> Rule:
    """Returns the rule of content with the model's own markers around it: they must be there where an answer consists of messages, and may
    be elsewhere.
    """
    before, behind = form.answers
    if form.repeats:
        return composed(f"{vocabulary.written(before)} {_grouped(content)}", content)
    if vocabulary.token(before) is None:
        return content
    return composed(f"({vocabulary.written(before)})? {_grouped(content)} ({vocabulary.written(behind)})?", content)


def reasoned(form: ReasoningForm, answer: Rule, opening: Opening, vocabulary: Vocabulary, calls: Collection[str]) -> Rule:
    """Returns the rule of an answer that reasons, as far as the prompt leaves it open, and then is ``answer``, which begins exactly behind
    the reasoning. New lines between both are the marker's. The markers of ``calls`` would end the reasoning.
    """
    if opening is Opening.CONTENT:
        return answer
    opens, resumes = vocabulary.written(form.opens), vocabulary.written(form.resumes) or "BLANK?"
    rules = {"BLANK": r"/[\r\n]{1,2}/"}
    if vocabulary.token(form.closes) is None:  # its tokens may hold more than the marker
        rules |= {"THOUGHT": f"{_ANY} {vocabulary.written(form.closes)}", "thought[lazy]": "THOUGHT"}
        inside = f"thought {resumes}"
    else:
        rules |= {"THOUGHT": f"{_ANY} & {without(form.closes)}"}
        thought = vocabulary.free("THOUGHT", {form.opens, form.closes, *form.answers, *(HARMONY if form.repeats else ()), *calls})
        inside = f"{thought} {vocabulary.written(form.closes)} {resumes}"
    times = "*" if form.repeats else "?"
    more = f"(BLANK? {opens} {inside}){times}" if not form.repeats else f"({opens} {inside})*"
    if opening is Opening.REASONING:
        more = f"{inside} {more if form.repeats else ''}"
    return composed(f"{more} {_grouped(answer)}", answer, **rules)


def _grouped(rule: Rule) -> str:
    return f"({rule.expression})"
