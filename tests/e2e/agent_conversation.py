"""An agent's conversation as it grows from turn to turn, in the words of each API."""

import json

from tests.e2e.client import post

TOOLS = {
    f"tool_{number}": {
        "description": f"Tool {number} reads, writes and looks for files in the project that the user has opened. " * 2,
        "parameters": {
            "type": "object",
            "properties": {"path": {"type": "string", "description": "An absolute path."}, "limit": {"type": "integer"}},
            "required": ["path"],
        },
    }
    for number in range(6)
}
INSTRUCTIONS = "You are an agent that works on software. " + "Keep to what the user asks for, and say what you have done. " * 45
BILLING = "x-anthropic-billing-header: cc_version=2.1.{0}.abc; cc_entrypoint=cli; cch={0:05x};"
RESULT = "1\timport sys\n2\tprint(sys.argv)\n"


class Conversation:
    """``turns``: how many calls were made and answered so far. What differs between APIs is in ``path``, ``body`` and ``usage``."""

    path = ""

    def __init__(self, model):
        self.model = model
        self.turns = 0

    def ask(self, daemon):
        """The prompt's tokens of the next turn, and how many of them were cached."""
        status, _, answer = post(daemon, self.path, self.body() | {"model": self.model})
        assert status == 200, answer
        self.turns += 1
        return self.usage(answer["usage"])

    def billing(self):
        """Another one at each turn."""
        return BILLING.format(4000 + self.turns)

    def calls(self):
        """The path and the id of each call that was made."""
        return [(f"/src/file_{turn}.py", f"call_{turn:024d}") for turn in range(self.turns)]

    def body(self):
        raise NotImplementedError

    def usage(self, usage):
        raise NotImplementedError


class Messages(Conversation):
    path = "/v1/messages?beta=true"

    def body(self):
        system = [{"type": "text", "text": self.billing()}, {"type": "text", "text": INSTRUCTIONS, "cache_control": {"type": "ephemeral"}}]
        messages = [{"role": "user", "content": [{"type": "text", "text": "Tidy up."}]}]
        for path, call in self.calls():
            use = {"type": "tool_use", "id": call, "name": "tool_1", "input": {"path": path}}
            messages.append({"role": "assistant", "content": [{"type": "text", "text": "I look."}, use]})
            messages.append({"role": "user", "content": [{"type": "tool_result", "tool_use_id": call, "content": RESULT}]})
        tools = [{"name": name, "description": tool["description"], "input_schema": tool["parameters"]} for name, tool in TOOLS.items()]
        return {"max_tokens": 1, "system": system, "messages": messages, "tools": tools, "temperature": 0}

    def usage(self, usage):
        cached = usage["cache_read_input_tokens"]
        return usage["input_tokens"] + usage["cache_creation_input_tokens"] + cached, cached


class Responses(Conversation):
    path = "/v1/responses"

    def body(self):
        items = [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Tidy up."}]},
        ]
        for path, call in self.calls():
            items.append({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]})
            items.append({"type": "function_call", "call_id": call, "name": "tool_1", "arguments": json.dumps({"path": path})})
            items.append({"type": "function_call_output", "call_id": call, "output": RESULT})
        tools = [{"type": "function", "name": name, "strict": False} | tool for name, tool in TOOLS.items()]
        asked = {"max_output_tokens": 1, "instructions": f"{self.billing()}\n{INSTRUCTIONS}", "store": False, "temperature": 0}
        return asked | {"input": items, "tools": tools}

    def usage(self, usage):
        return usage["input_tokens"], usage["input_tokens_details"]["cached_tokens"]


class Chat(Conversation):
    """As a router sends on what was meant for Anthropic's API."""

    path = "/v1/chat/completions"

    def body(self):
        messages = [{"role": "system", "content": f"{self.billing()}\n{INSTRUCTIONS}"}, {"role": "user", "content": "Tidy up."}]
        for path, call in self.calls():
            function = {"name": "tool_1", "arguments": json.dumps({"path": path})}
            messages.append(
                {"role": "assistant", "content": "I look.", "tool_calls": [{"id": call, "type": "function", "function": function}]}
            )
            messages.append({"role": "tool", "tool_call_id": call, "content": RESULT})
        tools = [{"type": "function", "function": {"name": name} | tool} for name, tool in TOOLS.items()]
        return {"max_tokens": 1, "messages": messages, "tools": tools, "temperature": 0}

    def usage(self, usage):
        return usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"]
