"""The rules of answers that call tools: always, or where the model decides to."""

from dataclasses import dataclass

from mlxd.types import ToolShape
from mlxd.wire.output_spec import ToolRules
from mlxd.worker.text.constraints.calls.call_form import MOST_CALLS, CallForm
from mlxd.worker.text.constraints.calls.offered import offered
from mlxd.worker.text.constraints.contents import Contents
from mlxd.worker.text.constraints.grammar import Rule, composed
from mlxd.worker.text.constraints.reasoning import HARMONY
from mlxd.worker.text.constraints.vocabulary import Vocabulary, quoted, without
from mlxd.worker.text.parsers.cohere import CohereTextParser
from mlxd.worker.text.parsers.registry import TOOLS

_ANY = "/(?s:.*)/"


@dataclass(frozen=True)
class AnswerCalls:
    """A maker of such rules for one model."""

    form: CallForm
    shape: ToolShape
    vocabulary: Vocabulary
    contents: Contents

    @property
    def has_opening(self) -> bool:
        """Tells whether something marks the beginning of a call, so that text before it is told from it."""
        return bool(self.form.opening)

    @property
    def markers(self) -> frozenset[str]:
        """Returns what begins a call in this shape, or would end reasoning; markers around content do neither."""
        parser = TOOLS.get(self.shape)
        begin = () if parser is None else (*getattr(parser, "openings", ()), *getattr(parser, "interrupts", ()))
        return frozenset({self.form.opening, *begin}).difference(CohereTextParser.openings)

    def required(self, rules: ToolRules) -> Rule:
        """Returns the rule of an answer that is calls. Raises ``InvalidRequestError`` where a strict tool cannot be enforced."""
        rest = self._rest(rules)
        return composed(f"{self.vocabulary.written(self.form.opening)} {rest.expression}", rest)

    def free(self, rules: ToolRules) -> Rule:
        """Returns the rule of text that may go on in calls, and then ends with them."""
        rest, opening = self._rest(rules), self.form.opening
        written = self.vocabulary.written(opening)
        if self.shape is ToolShape.HARMONY:
            return _harmony(rest, self.vocabulary, written)
        if self.vocabulary.token(opening) is not None:
            free = self.vocabulary.free("FREE", self.markers)
            return composed(f"{free} ({written} {rest.expression})?", rest, FREE=f"{_ANY} & {without(opening)}")
        if marked := self.vocabulary.marked(opening):  # a token in the middle of it
            before, marker = marked
            free = self.vocabulary.free("FREE", {*self.markers, marker})
            begun = f"BEFORE_CALL {self.vocabulary.written(opening.removeprefix(before))}"
            plain, until = f"{_ANY} & {without(opening)}", f"{_ANY} {quoted(before)}"
            return composed(f"{free} ({begun} {rest.expression})?", rest, FREE=plain, BEFORE_CALL=until)
        plain = f"{_ANY} & {without(opening)}"
        return composed(
            f"FREE | before_call {rest.expression}",
            rest,
            FREE=plain,
            BEFORE_CALL=f"{_ANY} {quoted(opening)}",
            **{"before_call[lazy]": "BEFORE_CALL"},
        )

    def _rest(self, rules: ToolRules) -> Rule:
        most = MOST_CALLS if rules.parallel and self.shape is not ToolShape.HARMONY else 1
        return self.form.rest(offered(rules.tools, self.contents), self.vocabulary, most=most)


def _harmony(rest: Rule, vocabulary: Vocabulary, opening: str) -> Rule:
    """Returns the rule of messages of which the last is final, or a call."""
    preamble = vocabulary.written("<|channel|>commentary<|message|>")
    then = vocabulary.written("<|end|><|start|>assistant")
    final = vocabulary.written("<|channel|>final<|message|>")
    free = vocabulary.free("FREE", HARMONY)
    return composed(f"({preamble} {free} {then})* ({final} {free} | {opening} {rest.expression})", rest, FREE=_ANY)
