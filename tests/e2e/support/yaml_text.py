"""Nested dicts, lists and scalars as block YAML."""

import json


def scalar(value):
    if value is True or value is False:
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else json.dumps(value)


def to_yaml(value, indent=0):
    pad = " " * indent
    if isinstance(value, dict) and value:
        return "".join(f"{pad}{json.dumps(str(key))}:{nested(item, indent)}" for key, item in value.items())
    if isinstance(value, list) and value:
        return "".join(f"{pad}-{nested(item, indent)}" for item in value)
    return f"{pad}{scalar(value)}\n"


def nested(value, indent):
    if isinstance(value, (dict, list)) and value:
        return "\n" + to_yaml(value, indent + 2)
    if isinstance(value, (dict, list)):
        return " {}\n" if isinstance(value, dict) else " []\n"
    return f" {scalar(value)}\n"
