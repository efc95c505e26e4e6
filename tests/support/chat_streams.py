"""Streams of chats, as their clients read them."""


def assembled(found):
    """Puts the only choice of a stream together, as clients do."""
    message, calls, logprobs, reason = {}, {}, [], None
    for chunk in found:
        for choice in chunk["choices"]:
            for name, value in choice["delta"].items():
                if name == "tool_calls":
                    for call in value:
                        known = calls.setdefault(call["index"], {"function": {"arguments": ""}})
                        known["function"] |= {"arguments": known["function"]["arguments"] + call["function"]["arguments"]}
                        known["function"] |= {key: text for key, text in call["function"].items() if key == "name"}
                        known |= {key: call[key] for key in ("id", "type") if key in call}
                elif name == "function_call":
                    known = message.setdefault(name, {"arguments": ""})
                    message[name] = known | value | {"arguments": known["arguments"] + value["arguments"]}
                elif name == "role" or value is None:
                    message[name] = value
                else:
                    message[name] = (message.get(name) or "") + value
            logprobs += choice["logprobs"]["content"] if choice["logprobs"] else []
            reason = choice["finish_reason"] or reason
    if calls:
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
    return message, logprobs, reason
