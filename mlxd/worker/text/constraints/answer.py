"""The constraint of an answer: of its content, its calls and its reasoning, one behind the other."""

from mlxd.errors import InvalidRequestError
from mlxd.wire.output_spec import OutputSpec
from mlxd.worker.encoded_prompt import Opening
from mlxd.worker.engine.constraint import TokenConstraint
from mlxd.worker.text.constraints.budget import ThinkingBudget
from mlxd.worker.text.constraints.compiler import GrammarCompiler, GrammarError
from mlxd.worker.text.constraints.contents import Contents
from mlxd.worker.text.constraints.grammar import Rule
from mlxd.worker.text.constraints.matching import GrammarConstraint
from mlxd.worker.text.constraints.reasoning import content_after, reasoned, reasoning_form
from mlxd.worker.text.constraints.vocabulary import Vocabulary
from mlxd.worker.text.shapes import Shapes


def is_constrained(spec: OutputSpec) -> bool:
    """Tells whether an answer may not be anything: whether ``AnswerConstraints`` is to be asked."""
    return spec.constraint is not None or spec.thinking_budget is not None


class AnswerConstraints:
    """A maker of the constraints of one model's answers, for any thread. A large grammar takes up to a second."""

    def __init__(self, vocabulary: Vocabulary, shapes: Shapes) -> None:
        self._vocabulary = vocabulary
        self._form = reasoning_form(shapes)
        self._compiler = GrammarCompiler(vocabulary)
        self._contents = Contents(self._compiler)

    def has_grammar(self, spec: OutputSpec) -> bool:
        """Tells whether a grammar says where an answer ends."""
        return spec.constraint is not None

    def of(self, spec: OutputSpec, opening: Opening) -> TokenConstraint | None:
        """Returns the constraint of an answer to a prompt that ends in ``opening``; None for one that may be anything.

        Raises ``InvalidRequestError`` for what cannot be enforced.
        """
        rule = self._rule(spec, opening)
        grammar = None if rule is None else self._matching(rule)
        if spec.thinking_budget is None or self._form is None or spec.is_raw or opening is Opening.CONTENT:
            return grammar
        is_inside = opening is Opening.REASONING
        return ThinkingBudget(spec.thinking_budget, self._form, self._vocabulary, grammar, is_inside=is_inside)

    def _rule(self, spec: OutputSpec, opening: Opening) -> Rule | None:
        if spec.constraint is None:
            return None
        content = self._contents.rule(spec.constraint)
        if self._form is None or spec.is_raw:
            return content
        if opening is Opening.CONTENT:
            return content
        return reasoned(self._form, content_after(self._form, content, self._vocabulary), opening, self._vocabulary)

    def _matching(self, rule: Rule) -> GrammarConstraint:
        try:
            return GrammarConstraint(self._compiler.matcher(rule), self._vocabulary)
        except GrammarError as error:
            raise InvalidRequestError(f"the answer cannot be constrained like this: {error}") from error
