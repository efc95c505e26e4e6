"""What is encoded in tests: short and long, in several scripts, nothing at all."""

TEXTS = [
    "The capital of France is Paris.",
    "",
    "a",
    "Berlin",
    "Ein Text in einer anderen Sprache: Größe, Übung, Äpfel.",
    "日本語の文",
    "Numbers: 12345, 3.14159; signs: !?%&/()=",
    "  spaces   before, between\tand\nafter  ",
    "query and document",
    "the " * 30,
    "A vector of a text is what a model makes of it. " * 2,
    "UPPER and lower",
    "☃",
]
INSTRUCTION = "Find the city"
PAIRS = [
    ("What is the capital of France?", "Paris is the capital of France."),
    ("What is the capital of France?", "Berlin"),
    ("Größe", "日本語の文 and a text"),
    ("a", ""),
    ("query", "the document of a text " * 3),
    ("Is this long?", "b"),
]
