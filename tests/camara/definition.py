"""CAMARA's definition as one document: the two files that it is published in, joined."""

import json
from pathlib import Path

import yaml

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures" / "camara"
COMMON = "../common/CAMARA_common.yaml#"


def bundled():
    text = (FIXTURES / "one-time-password-sms.yaml").read_text()
    definition = yaml.safe_load(text)
    common = yaml.safe_load((FIXTURES / "CAMARA_common.yaml").read_text())["components"]
    parts = definition["components"]
    for kind, entries in common.items():
        own = parts.setdefault(kind, {})
        for name, entry in entries.items():
            # What is only a reference to the same name over there is that one.
            if "$ref" in own.get(name, {"$ref": ""}):
                own[name] = entry
    definition = json.loads(json.dumps(definition).replace(COMMON, "#"))
    schemas = definition["components"]["schemas"]
    # "This API rejects requests with properties not declared in this specification": said in words, not in the schema.
    for name in ["SendCodeBody", "ValidateCodeBody"]:
        schemas[name]["additionalProperties"] = False
    # "The list of error codes is not exhaustive: refer to CAMARA_common.yaml."
    for item in definition["paths"].values():
        for status in ["405", "415"]:
            item["post"]["responses"].setdefault(status, {"$ref": f"#/components/responses/Generic{status}"})
    return definition


def schema(definition, pointer):
    """A JSON schema of its own for what a pointer such as /components/schemas/SendCodeResponse names."""
    return {"$ref": f"#{pointer}", "components": definition["components"]}
