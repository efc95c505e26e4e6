"""What an answer's tokens may be: grammars of JSON, regular expressions and tool calls, and budgets of reasoning, by llguidance."""
