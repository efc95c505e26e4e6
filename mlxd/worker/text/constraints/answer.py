"""The constraint of an answer: of its content, its calls and its reasoning, one behind the other."""

from mlxd.errors import InvalidRequestError
from mlxd.wire.output_spec import OutputSpec, ToolRules
from mlxd.worker.encoded_prompt import Opening
from mlxd.worker.engine.constraint import TokenConstraint
from mlxd.worker.text.constraints.budget import ThinkingBudget
from mlxd.worker.text.constraints.calls.answer_calls import AnswerCalls
from mlxd.worker.text.constraints.calls.in_time import CallsInTime
from mlxd.worker.text.constraints.calls.registry import call_form
from mlxd.worker.text.constraints.compiler import GrammarCompiler, GrammarError
from mlxd.worker.text.constraints.contents import Contents
from mlxd.worker.text.constraints.grammar import Rule, composed
from mlxd.worker.text.constraints.matching import GrammarConstraint
from mlxd.worker.text.constraints.reasoning import content_after, reasoned, reasoning_form
from mlxd.worker.text.constraints.vocabulary import Vocabulary
from mlxd.worker.text.shapes import Shapes


class AnswerConstraints:
    """A maker of the constraints of one model's answers, for any thread. A large grammar takes up to a second."""

    def __init__(self, vocabulary: Vocabulary, shapes: Shapes) -> None:
        self._vocabulary = vocabulary
        self._reasoning = reasoning_form(shapes)
        self._compiler = GrammarCompiler(vocabulary)
        self._contents = Contents(self._compiler)
        form = call_form(shapes.tools, vocabulary)
        self._calls = None if form is None else AnswerCalls(form, shapes.tools, vocabulary, self._contents)

    @property
    def nbytes(self) -> int:
        """Returns about how many bytes the vocabulary and the grammars that are kept take."""
        return self._compiler.nbytes

    def is_wanted(self, spec: OutputSpec) -> bool:
        """Tells whether an answer may not be anything."""
        return self.has_grammar(spec) or spec.thinking_budget is not None

    def has_grammar(self, spec: OutputSpec) -> bool:
        """Tells whether a grammar says what an answer is, and where it ends."""
        return spec.constraint is not None or self._are_enforced(spec.tools)

    def of(self, spec: OutputSpec, opening: Opening, max_tokens: int | None = None) -> TokenConstraint | None:
        """Returns the constraint of an answer of at most ``max_tokens`` to a prompt that ends in ``opening``; None for one that may be
        anything.

        Raises ``InvalidRequestError`` for what cannot be enforced.
        """
        rule = self._rule(spec, opening)
        grammar: TokenConstraint | None = None if rule is None else self._matching(rule, spec)
        if grammar is not None and max_tokens is not None and spec.tools is not None and spec.tools.required:
            grammar = CallsInTime(grammar, self._vocabulary, max_tokens)
        if spec.thinking_budget is None or self._reasoning is None or spec.is_raw or opening is Opening.CONTENT:
            return grammar
        is_inside = opening is Opening.REASONING
        return ThinkingBudget(spec.thinking_budget, self._reasoning, self._vocabulary, grammar, is_inside=is_inside)

    def _are_enforced(self, rules: ToolRules | None) -> bool:
        if rules is None or not rules.tools:
            return False
        is_strict = self._calls is not None and self._calls.has_opening and any(tool.strict for tool in rules.tools)
        return rules.required or is_strict

    def _rule(self, spec: OutputSpec, opening: Opening) -> Rule | None:
        if not self.has_grammar(spec):
            return None
        content = None if spec.constraint is None else self._contents.rule(spec.constraint)
        if spec.is_raw:
            return content
        answer = self._answer(spec, content, opening)
        if self._reasoning is None:
            return answer
        markers = self._calls.markers if self._calls else frozenset[str]()
        return reasoned(self._reasoning, answer, opening, self._vocabulary, markers)

    def _answer(self, spec: OutputSpec, content: Rule | None, opening: Opening) -> Rule:
        """Returns the rule of what stands behind the reasoning."""
        if content is not None and self._reasoning is not None and opening is not Opening.CONTENT:
            content = content_after(self._reasoning, content, self._vocabulary)
        if spec.tools is None or not spec.tools.tools:
            assert content is not None  # noqa: S101 - there is a grammar
            return content
        calls = self._calls
        if calls is None:
            if spec.tools.required or content is None:
                raise InvalidRequestError("this model calls no tools, so that none can be required of it", param="tool_choice")
            return content
        if spec.tools.required:
            return calls.required(spec.tools)
        if content is None:
            return calls.free(spec.tools)
        required = calls.required(spec.tools)
        return composed(f"({content.expression}) | ({required.expression})", content, required)

    def _matching(self, rule: Rule, spec: OutputSpec) -> GrammarConstraint:
        try:
            return GrammarConstraint(self._compiler.matcher(rule), self._vocabulary)
        except GrammarError as error:
            field = getattr(spec.constraint, "field", None) or ("response_format" if spec.constraint else "tools")
            raise InvalidRequestError(f"the answer cannot be constrained like this: {error}", param=field) from error
