"""Twilio's own definition of Verify v2, as far as it is served here, and as sharp as its SDKs take it.

From tests/fixtures/twilio/twilio_verify_v2.prism.json (MIT, as the LICENSE beside it says), which is too soft to test with: it
promises no field, knows no failure but 429, and does not say which answer names what the next request asks for.
"""

import copy
import json
import re
from pathlib import Path

FIXTURE = Path(__file__).resolve().parent.parent / "fixtures" / "twilio" / "twilio_verify_v2.prism.json"

# What is for apps of Twilio's own kind (push), and for browsers that this API does not see (passkeys): 403 60204, or not there.
NOT_SERVED = re.compile(r"/(AccessTokens|Notifications|Passkeys|Forms)(/|$)")

# "Twilio's error response": in its documentation, and in the definition for one status of one operation.
ERROR = {
    "type": "object",
    "properties": {
        "code": {"type": "integer", "minimum": 20001, "maximum": 69999},
        "message": {"type": "string", "minLength": 1},
        "more_info": {"type": "string", "pattern": r"^https://www\.twilio\.com/docs/errors/[0-9]{5}$"},
        "status": {"type": "integer", "minimum": 400, "maximum": 499},
    },
    # `type` and `title` would make the SDKs take it for another kind of error.
    "required": ["code", "message", "more_info", "status"],
    "additionalProperties": False,
}
FAILURES = ["400", "401", "403", "404", "405", "409", "413", "415", "429"]

METHODS = ["get", "post", "delete"]

# Refused whatever is in them, because silence would not be safe, and by a configured service: docs/guides/leave-twilio-verify.md.
REFUSED = {"Amount", "Payee", "SendDigits", "Psd2Enabled", "CustomFriendlyName"}

# Names of things that nobody makes here. They are taken without effect; Schemathesis would wait for who makes them.
UNMADE = {
    "TemplateSid", "DefaultTemplateSid", "Push.ApnCredentialSid", "Push.FcmCredentialSid", "Whatsapp.MsgServiceSid", "Passkeys.RelyingParty.Id",
}

# Taken without effect: of push alone, or for what nobody does here.
UNUSED = {
    "Binding.Alg", "Binding.PublicKey", "Config.AppId", "Config.NotificationPlatform", "Config.NotificationToken", "Config.SdkVersion",
    "RiskCheck", "EnableSnaClientToken",
}

# The service "default": its SID is the digest of its name, and it is always there. Nearly everything is within a service.
SERVICE = "VA7788ed8f57d47f9302c851abc4e001c9"

EVENTS = ["*", "factor.created", "factor.verified", "factor.deleted", "challenge.approved", "challenge.denied"]

# Rules that the definition has in words, or not at all; ours, where they are narrower.
NAME = {"pattern": "^[^\\x00-\\x1f\\x7f-\\x9f]{1,32}$"}
RULES = {
    "To": {"enum": ["+4915112345671", "+4915112345672", "+33612345678", "+14155550132", "ann+lee@example.com"]},
    "Channel": {"enum": ["sms", "call", "email", "whatsapp", "auto"]},
    "FriendlyName": NAME,
    "UniqueName": {"pattern": "^[A-Za-z0-9._-]{1,64}$"},
    "Identity": {"pattern": "^[A-Za-z0-9-]{8,64}$"},
    "Max": {"minimum": 1, "maximum": 1_000_000},
    "Interval": {"minimum": 1, "maximum": 31 * 24 * 3600},
    "CodeLength": {"minimum": 6, "maximum": 10},
    "Totp.TimeStep": {"minimum": 20, "maximum": 60},
    "Totp.CodeLength": {"minimum": 3, "maximum": 8},
    "Totp.Skew": {"minimum": 0, "maximum": 2},
    "Config.TimeStep": {"minimum": 20, "maximum": 60},
    "Config.CodeLength": {"minimum": 6, "maximum": 8},
    "Config.Skew": {"minimum": 0, "maximum": 2},
    "Code": {"minLength": 4, "maxLength": 10},
    # Any Base32 will do, which no pattern says as briefly.
    "Binding.Secret": {"enum": ["GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"]},
    # Events go where nobody listens.
    "WebhookUrl": {"enum": ["http://127.0.0.1:9/hook"]},
    "EventTypes": {"minItems": 1, "items": {"type": "string", "enum": EVENTS}},
}

# What an answer calls that which the paths below it name.
NAMES = {"Entities": "identity", "MessagingConfigurations": "country", "Numbers": "phone_number"}


def restricted():
    """The definition to test with, each path within one service."""
    definition = json.loads(FIXTURE.read_text())
    definition["info"]["description"] += " This copy is cut down and sharpened for tests; its licence is MIT, Twilio's own."
    paths = definition["paths"].items()
    definition["paths"] = {path.replace("{ServiceSid}", SERVICE): item for path, item in paths if not NOT_SERVED.search(path)}
    for schema in definition["components"]["schemas"].values():
        sharpen(schema)
    for operation in operations(definition).values():
        operation["parameters"] = [one for one in operation.get("parameters", []) if one["name"] != "ServiceSid"]
        form(operation)
        for status, response in operation["responses"].items():
            for media in response.get("content", {}).values():
                media.pop("examples", None)
                sharpen(media["schema"])
        for status in FAILURES:
            operation["responses"][status] = {"description": "A failure.", "content": {"application/json": {"schema": ERROR}}}
    return definition


def operations(definition):
    """By method and path."""
    paths = definition["paths"].items()
    return {f"{method.upper()} {path}": item[method] for path, item in paths for method in METHODS if method in item}


def fill(definition, collection, name):
    """What was made in a collection is what its paths name."""
    below = re.compile(re.escape(collection) + r"/{\w+}")
    paths = {}
    for path, item in definition["paths"].items():
        if below.match(path):
            path = below.sub(f"{collection}/{name}", path)
        for method in METHODS:
            if method in item:
                parameters = item[method]["parameters"]
                item[method]["parameters"] = [one for one in parameters if one["in"] != "path" or f"{{{one['name']}}}" in path]
        paths[path] = item
    definition["paths"] = paths


def sharpen(schema):
    """Every field is there, null where there is nothing to say, and no other: a date that is left out is "now" to the Node SDK."""
    for part in schema.get("properties", {}).values():
        sharpen(part)
    if "items" in schema:
        sharpen(schema["items"])
    if "properties" in schema:
        schema["required"] = list(schema["properties"])
        schema["additionalProperties"] = False


def form(operation):
    """The fields of a form are text: the definition says "anything" where that has to be JSON."""
    for media in operation.get("requestBody", {}).get("content", {}).values():
        # Twilio's examples name machines of its own, to which events would be posted.
        media.pop("examples", None)
        schema = media["schema"]
        schema["properties"] = {name: field for name, field in schema.get("properties", {}).items() if name not in REFUSED | UNMADE | UNUSED}
        for name, field in schema["properties"].items():
            text = field.get("items", field)
            if not text.keys() & {"type", "$ref"}:
                text["type"] = "string"
            field |= RULES.get(name, {})
        if operation["operationId"] == "CreateVerificationCheck":
            # By destination. By SID it is a link's to ask: see `linked`.
            del schema["properties"]["VerificationSid"]
        if "FactorType" in schema["properties"]:
            # The others are refused as not enabled.
            schema["properties"]["FactorType"] = {"type": "string", "enum": ["totp"]}


def linked(definition):
    """The same, in which what was made is what later requests name."""
    paths = definition["paths"]
    for path, item in paths.items():
        made = item.get("post", {}).get("responses", {}).get("201")
        if made is None or "VerificationCheck" in path:
            continue
        name = NAMES.get(path.rsplit("/", 1)[1], "sid")
        above = {parameter: f"$request.path.{parameter}" for parameter in re.findall(r"{(\w+)}", path)}
        below = re.compile(re.escape(path) + r"/{(\w+)}(/[A-Za-z]+)?$")
        for other, found in ((other, below.match(other)) for other in paths):
            if found:
                parameters = {**above, found[1]: f"$response.body#/{name}"}
                for method in METHODS:
                    # A challenge that is not found is the factor's, which its form names.
                    if method in paths[other] and paths[other][method]["operationId"] != "CreateChallenge":
                        link(made, paths[other][method], parameters)
    started = paths[f"/v2/Services/{SERVICE}/Verifications"]["post"]["responses"]["201"]
    link(started, paths["/v2/Attempts/{Sid}"]["get"], {"Sid": "$response.body#/send_code_attempts/0/attempt_sid"})
    link(started, paths[f"/v2/Services/{SERVICE}/VerificationCheck"]["post"], {}, {"VerificationSid": "$response.body#/sid"})
    return definition


def link(response, target, parameters, body=None):
    found = {"operationId": target["operationId"], "parameters": copy.copy(parameters)}
    response.setdefault("links", {})[target["operationId"]] = found if body is None else {**found, "requestBody": body}
