"""Where pictures are in a prompt, beside what a look at each token says."""

from hypothesis import given
from hypothesis import strategies as st

from mlxd.worker.encoded_prompt import EncodedPrompt
from mlxd.worker.engine.seen_spans import SeenSpans
from tests.unit.worker_engine.pictures import PLACEHOLDER, Picture, shown
from tests.unit.worker_engine.simulated_executor import ROOT

PICTURES = st.builds(Picture, number=st.integers(0, 2), rows=st.integers(1, 3), columns=st.integers(1, 5)) | st.builds(
    Picture, number=st.integers(0, 2), columns=st.integers(1, 9), is_mutual=st.just(True)
)


@given(parts=st.lists(st.just(1) | PICTURES, max_size=8), data=st.data())
def test_spans_say_what_each_token_says(parts, data):
    tokens, spans, inputs = shown(parts)
    seen = SeenSpans(EncodedPrompt(tokens, 1, ROOT, spans, inputs=inputs))
    start = data.draw(st.integers(0, len(tokens)))
    stop = data.draw(st.integers(start, len(tokens)))
    of_token = {at: span for span in spans for at in range(span.start, span.stop)}
    assert seen.stop == max((at + 1 for at in of_token), default=0)
    assert seen.before(stop) == tuple(dict.fromkeys(of_token[at] for at in range(stop) if at in of_token))
    behind = list(dict.fromkeys(of_token[at] for at in range(start, len(tokens)) if at in of_token))
    assert list(seen.behind(start)) == behind
    shown_behind = {span.content for span in behind}
    assert seen.contents(start) == [content for content in dict.fromkeys(span.content for span in spans) if content in shown_behind]
    cut = of_token.get(stop - 1) if of_token.get(stop - 1) is of_token.get(stop) else None
    assert seen.cuts(stop) == (cut if cut is not None and cut.mutual else None)
    end = seen.ends(start, stop)
    assert seen.cuts(end) is None
    assert end > start or stop == start


def test_guesses_are_used_up_to_the_first_that_stands_for_a_picture():
    tokens, spans, inputs = shown([1, Picture(), 2])
    seen = SeenSpans(EncodedPrompt(tokens, 1, ROOT, spans, inputs=inputs))
    assert [seen.written(guesses) for guesses in ((), (1, 2), (1, PLACEHOLDER, 2), (PLACEHOLDER,))] == [0, 2, 1, 0]
