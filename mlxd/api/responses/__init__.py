"""OpenAI's Responses API, without memory: every request has its whole conversation with it."""
