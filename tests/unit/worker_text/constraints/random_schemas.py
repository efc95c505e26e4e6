"""Random JSON schemas, of everything that is enforced, as clients nest it."""

import random

FORMATS = ("date", "time", "date-time", "email", "ipv4", "uuid", "hostname", "some-other")
PATTERNS = ("^[a-z]{2,5}$", "[0-9]+", "^(ab|cd)*$", "x", "^\\d{3}-\\d{4}$")
WORDS = ("a", "items", "type", "properties", "ключ", 'q"uote', "back\\slash", "new\nline", "😀", "$ref", "required", "")


def random_schema(seed):
    chance = random.Random(seed)  # noqa: S311
    names = [f"D{index}" for index in range(chance.randrange(3))]
    schema = _schema(chance, 3, names)
    if names and isinstance(schema, dict):
        schema |= {chance.choice(("$defs", "definitions")): {name: _schema(chance, 2, []) for name in names}}
        return _refer(schema, "definitions" if "definitions" in schema else "$defs")
    return schema


def _refer(schema, where):
    if isinstance(schema, dict):
        return {
            key: f"#/{where}/{value}" if key == "$ref" and isinstance(value, str) else _refer(value, where) for key, value in schema.items()
        }
    return [_refer(one, where) for one in schema] if isinstance(schema, list) else schema


def _referred(key, value, where):
    return f"#/{where}/{value}" if key == "$ref" and isinstance(value, str) else _refer(value, where)


def _schema(chance, depth, names):
    makers = [_string, _number, _integer, _enum, _plain]
    if depth:
        makers += [_object, _object, _object, _array, _array, _any_of, _types, _all_of, _one_of, _map]
    if names and depth < 3:
        makers.append(lambda chance, depth, names: {"$ref": chance.choice(names)})
    schema = chance.choice(makers)(chance, depth - 1, names)
    if chance.random() < 0.2:
        schema |= {"title": "T", "description": "about", "default": None, "x-order": 1, "examples": [1]}
    return schema


def _plain(chance, depth, names):
    constant = {"const": chance.choice((1, "x", None, [1, {"a": 2}], 0.5))}
    return chance.choice(({"type": "boolean"}, {"type": "null"}, constant, {"type": "integer"}))


def _string(chance, depth, names):
    schema = {"type": "string"}
    match chance.randrange(5):
        case 0:
            schema["format"] = chance.choice(FORMATS)
        case 1:
            schema["pattern"] = chance.choice(PATTERNS)
        case 2:
            schema |= {"minLength": chance.randrange(4), "maxLength": chance.randrange(4, 9)}
        case 3:
            schema |= {"pattern": "^[a-z]*$", "minLength": 2, "maxLength": 6}
    return schema


def _number(chance, depth, names):
    schema = {"type": "number"}
    low = chance.choice((-5, 0, 0.5, -1.25))
    match chance.randrange(4):
        case 0:
            schema |= {"minimum": low, "maximum": low + chance.randrange(1, 9)}
        case 1:
            schema |= {"exclusiveMinimum": low, "exclusiveMaximum": low + 3}
        case 2:
            schema |= {"multipleOf": chance.choice((0.5, 0.25, 3))}
    return schema


def _integer(chance, depth, names):
    low = chance.randrange(-20, 20)
    bounds = ({}, {"minimum": low}, {"minimum": low, "maximum": low + 100}, {"multipleOf": 7}, {"exclusiveMaximum": low})
    return {"type": "integer"} | chance.choice(bounds)


def _enum(chance, depth, names):
    return {"enum": chance.sample([1, 2.5, "one", "ü", None, True, [1], {"k": "v"}, 'say "x"', -7], chance.randrange(1, 5))}


def _object(chance, depth, names):
    keys = chance.sample(WORDS, chance.randrange(1, 5))
    schema = {"type": "object", "properties": {key: _schema(chance, depth, names) for key in keys}}
    schema["required"] = [key for key in keys if chance.random() < 0.6]
    if chance.random() < 0.4:
        schema["additionalProperties"] = chance.choice((False, True, {"type": "integer"}))
    if chance.random() < 0.2:
        del schema["type"]
    return schema


def _map(chance, depth, names):
    schema = {"type": "object", "additionalProperties": _schema(chance, depth, names)}
    if chance.random() < 0.3:
        schema["minProperties"] = 1
    if chance.random() < 0.3:
        schema = {"type": "object", "patternProperties": {"^n[0-9]+$": _schema(chance, depth, names)}, "additionalProperties": False}
    return schema


def _array(chance, depth, names):
    schema = {"type": "array", "items": _schema(chance, depth, names)}
    match chance.randrange(4):
        case 0:
            schema |= {"minItems": chance.randrange(3), "maxItems": chance.randrange(3, 5)}
        case 1:
            schema |= {"prefixItems": [_schema(chance, depth, names)], "minItems": 1}
    return schema


def _any_of(chance, depth, names):
    return {"anyOf": [_schema(chance, depth, names) for _ in range(chance.randrange(1, 4))]}


def _types(chance, depth, names):
    return {"type": chance.sample(["string", "integer", "null", "boolean", "array", "object"], chance.randrange(1, 4))}


def _all_of(chance, depth, names):
    return {"allOf": [{"type": "object", "properties": {name: _schema(chance, depth, names)}, "required": [name]} for name in ("p", "q")]}


def _one_of(chance, depth, names):
    options = [
        {"type": "object", "properties": {"kind": {"const": kind}, "value": _schema(chance, depth, names)}, "required": ["kind"]}
        for kind in ("a", "b")
    ]
    return {"oneOf": [*options, {"type": "string"}]}
