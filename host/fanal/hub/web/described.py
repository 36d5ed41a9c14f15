"""The API's answers as JSON Schema, made from the records themselves, as `as_json` writes them."""

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from fanal.hub.incident_record import Page

Schema = dict[str, Any]
_PLAIN: dict[Any, Schema] = {
    int: {"type": "integer"}, float: {"type": "number"}, str: {"type": "string"},
    bool: {"type": "boolean"},
}  # fmt: skip
_ERROR: Schema = {
    "type": "object",
    "properties": {"error": {"type": "string"}, "message": {"type": "string"}},
    "required": ["error", "message"],
    "additionalProperties": False,
}


def answer(schema: Schema, description: str = "As it is now.") -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that answers 200 with this."""
    content = {"application/json": {"schema": schema}}
    return {200: {"description": description, "content": content}}


def refusals(**why: str) -> dict[int | str, dict[str, Any]]:
    """Return `responses` for refusals; names are `_404` and so on."""
    content = {"application/json": {"schema": _ERROR}}
    return {int(name[1:]): {"description": text, "content": content} for name, text in why.items()}


REFUSALS = refusals(
    _400="It cannot be read.", _401="Nobody is logged in.",
    _403="Not with this role, or without the token.", _413="It is too long.",
    _422="It is not as it should be.", _503="The database does not answer.",
)  # fmt: skip


def listing(item: Any) -> Schema:
    """Return the schema of a page of records of type `item`."""
    return record(Page, {"T": item})


def record(kind: Any, of: Mapping[str, Any] | None = None) -> Schema:
    """Return the schema of a dataclass. of: what its type variables stand for, by name."""
    hints = get_type_hints(kind)
    properties: Schema = {}
    for one in fields(kind):
        properties[one.name] = _schema(hints[one.name], of or {})
        if one.name.endswith("_ms"):
            text: Schema = {"type": "string", "format": "date-time"}
            is_optional = type(None) in get_args(hints[one.name])
            twin = {"anyOf": [text, {"type": "null"}]} if is_optional else text
            properties[one.name.removesuffix("_ms")] = twin
    return {"type": "object", "properties": properties, "required": list(properties),
            "additionalProperties": False}  # fmt: skip


def closed(**properties: Schema) -> Schema:
    """Return the schema of an object with just these."""
    return {"type": "object", "properties": properties, "required": list(properties),
            "additionalProperties": False}  # fmt: skip


def _schema(kind: Any, of: Mapping[str, Any]) -> Schema:
    if isinstance(kind, TypeVar):
        return _schema(of[kind.__name__], {})
    if kind in _PLAIN:
        return _PLAIN[kind]
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        options = [{"type": "null"} if one is type(None) else _schema(one, of) for one in inner]
        return {"anyOf": options}
    if origin is tuple and len(inner) == 2 and inner[1] is Ellipsis:
        return {"type": "array", "items": _schema(inner[0], of)}
    if origin is tuple:
        return {"type": "array", "items": {"anyOf": [_schema(one, of) for one in inner]},
                "minItems": len(inner), "maxItems": len(inner)}  # fmt: skip
    if origin is dict:
        return {"type": "object"}
    if origin is not None:
        parameters = origin.__parameters__
        return record(origin, {p.__name__: x for p, x in zip(parameters, inner, strict=True)})
    if is_dataclass(kind):
        return record(kind)
    raise TypeError(f"no schema for {kind}")
