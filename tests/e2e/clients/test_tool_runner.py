"""The loop of tools in Anthropic's SDK for Python, which goes on until the model has no more calls."""

import anthropic
import pytest

from tests.support.scripted.script import Rule, call, thought

FIRST = thought("Two cities.", call("get_weather", "Let me look. ", city="Oslo") + "\n" + call("get_weather", city="Bergen"))


@pytest.mark.parametrize("stream", [False, True])
def test_it_goes_on_until_nothing_is_called(scripted, stream):
    asked = []

    @anthropic.beta_tool
    def get_weather(city: str) -> str:
        """Tells the weather of a city."""
        asked.append(city)
        return f"rain in {city}"

    scripted.say(Rule(turn=r"rain in Oslo(?s:.)*rain in Bergen|rain in Bergen", says="It rains in both."), Rule(says=FIRST))
    with anthropic.Anthropic(base_url=scripted.url, api_key="none", max_retries=0) as client:
        runner = client.beta.messages.tool_runner(
            model="default",
            max_tokens=500,
            messages=[{"role": "user", "content": "What is the weather in Oslo and Bergen?"}],
            tools=[get_weather],
            stream=stream,
        )
        answers = [one.get_final_message() if stream else one for one in runner]
    assert asked == ["Oslo", "Bergen"]
    assert [block.type for block in answers[0].content] == ["thinking", "text", "tool_use", "tool_use"]
    assert answers[-1].content[0].text == "It rains in both."
