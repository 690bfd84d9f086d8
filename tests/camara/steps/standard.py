"""The sentences of CAMARA's two feature files, each in the words that stand there."""

import json
import re
import time

import jsonschema_rs
from behave import given, step, then, use_step_matcher, when
from definition import bundled, schema
from operator_api import CONFIG

use_step_matcher("re")
DEFINITION = bundled()
# So long a token and a code live on this server, and a little more (scenarios.toml).
LIFE = 61
# Numbers by what is the matter with them. A premium-rate number is refused by us; a landline and one that has opted out by the
# provider, which is who knows; a French number belongs to no operator that this server serves.
NO_SMS = "+499001234567"
LANDLINE = "+15005550009"
BARRED = "+15005550004"
FOREIGN = "+33612345678"


def another(code):
    return code[:-1] + str((int(code[-1]) + 1) % 10)


def name(path):
    return path.removeprefix("$.")


# Background


@given('an environment at "apiRoot"')
def environment(context):
    context.headers, context.number = {}, context.operator.fresh_number()


@step('the resource "(?P<path>[^"]+)"')
def resource(context, path):
    context.path = path


@step('the header "Content-Type" is set to "(?P<value>[^"]+)"')
def content_type(context, value):
    context.headers["Content-Type"] = value


@step('the header "Authorization" is set to a valid access token')
def valid_token(context):
    context.headers["Authorization"] = f"Bearer {context.operator.token()}"


@step('the header "x-correlator" complies with the schema at "#/components/schemas/XCorrelator"')
def correlator(context):
    context.headers["x-correlator"] = "b4333c46-49c0-4f62-80d7-f0ef930f1c46"
    jsonschema_rs.validate(schema(DEFINITION, "/components/schemas/XCorrelator"), context.headers["x-correlator"])


@step("the request body is set by default to a request body compliant with the schema")
def default_body(context):
    if context.path.endswith("send-code"):
        context.body = {"phoneNumber": context.number, "message": CONFIG["message"]}
    else:
        context.body = {"authenticationId": "00000000-0000-4000-8000-000000000000", "code": "123456"}


# What is sent


@step('the header "Authorization" is set')
def without_correlator(context):
    # The two scenarios "without x-correlator" say this, and nothing that would take the Background's away: their name does.
    del context.headers["x-correlator"]


@step('the header "Authorization" is removed')
def no_token(context):
    del context.headers["Authorization"]


@step('the header "Authorization" is set to an expired(?: access token)?')
def expired_token(context):
    grow_old(context)
    context.headers["Authorization"] = f"Bearer {context.old_token}"


@step('the header "Authorization" is set to an invalid access token')
def invalid_token(context):
    context.headers["Authorization"] += "x"


@step("the request body is not included")
def no_body(context):
    context.body = None


@step(r'the request body is set to "\{\}"')
def empty_body(context):
    context.body = {}


@step(r'the request body property "(?P<path>\$\.\w+)" is set to config_var: "(?P<variable>\w+)"')
def from_config(context, path, variable):
    context.body[name(path)] = context.number if variable == "phone_number" else CONFIG[variable]


@step(r'the request body property "(?P<path>\$\.\w+)" is set to "(?P<value>[^"]*)"')
def literal(context, path, value):
    context.body[name(path)] = value


@step(r'the request body property "(?P<path>\$\.\w+)" is not valued')
def not_valued(context, path):
    context.body.pop(name(path))


@step(r'the request body property "\$\.message" is longer than config_var:"max_length"')
def too_long(context):
    context.body["message"] = "{{code}}".ljust(CONFIG["max_length"] + 1, "x")


@step(r'the request body property "\$\.phoneNumber" is set to a phone number that cannot receive SMS')
def no_sms(context):
    context.body["phoneNumber"] = NO_SMS


@step(r'the request body property "\$\.phoneNumber" is set to a phone number that target a landline')
def landline(context):
    context.body["phoneNumber"] = LANDLINE


@step(r'the request body property "\$\.phoneNumber" is set to a phone number that that has an active SMS barring')
def barred(context):
    context.body["phoneNumber"] = BARRED


@step(r'the request body property "\$\.phoneNumber" is set to a phone number that did not belong to the operator')
def foreign(context):
    context.body["phoneNumber"] = FOREIGN


@step(r'\(config_var:"max_send"-1\) of send-code requests for this phone number has been submitted')
def all_but_one_sent(context):
    for _ in range(CONFIG["max_send"] - 1):
        context.operator.send(context.number)


@step("an authenticationId has been retrieved from a send-code request")
@step(r'request body property "\$\.authenticationId" is set to the value from send-code request')
def sent(context):
    context.id = context.operator.send(context.number)
    context.code = context.operator.code(context.id)
    context.body["authenticationId"] = context.id


@step(r'the request body property "\$\.code" is set to the (?:code |value )?received in the SMS(?: for this first request)?')
def right_code(context):
    context.body["code"] = context.code


@step(r'the request body property "\$\.code" is set to a format valid value')
def some_code(context):
    context.body["code"] = "123456"


@step(r'the request body property "\$\.code" is set to a value distinct from the value received in the SMS')
def wrong_code(context):
    context.body["code"] = another(context.code)


@step("the time elapsed since the send-code exceed the allowed time")
def old_code(context):
    # One that was sent before the first scenario, by the same request.
    grow_old(context)
    context.body = {"authenticationId": context.old_id, "code": context.old_code}


def grow_old(context):
    time.sleep(max(0.0, context.begun + LIFE - time.monotonic()))


@step("Two send-code request has been sequentially triggered for the same phoneNumber")
def sent_twice(context):
    sent(context)
    context.operator.send(context.number)


@step(r'request body property "\$\.authenticationId" is set to the value got for the first send-code request')
@step(r'request body property "\$\.authenticationId" is valued again with this authenticationId')
def that_id(context):
    context.body["authenticationId"] = context.id


@step("a validate-code has been succesfully performed for a authenticationId")
def validated(context):
    sent(context)
    answer = context.operator.post("validate-code", {"authenticationId": context.id, "code": context.code})
    assert answer.status == 204, answer.body


@step(
    r'\(config_var:"max_try"-1\) calls with the request body property "\$\.code" set to a value distinct from the value received '
    r"in the SMS were performed"
)
def all_but_one_tried(context):
    context.body["code"] = another(context.code)
    for _ in range(CONFIG["max_try"] - 1):
        answer = context.operator.post("validate-code", context.body)
        assert answer.json()["code"] == "ONE_TIME_PASSWORD_SMS.INVALID_OTP", answer.body


@step(r'the request body property "\$\.authenticationId" is set to an unknown value')
def unknown_id(context):
    context.body["authenticationId"] = "ea0840f3-3663-4149-bd10-c7c6b8912105"


@when('the HTTP "POST" request is sent')
def request_is_sent(context):
    body = None if context.body is None else json.dumps(context.body).encode()
    context.answer = context.operator.call(context.path, context.headers, body)


# What is answered


@then(r'the response property "\$\.status" is (?P<status>\d+)')
def status_property(context, status):
    # Good answers have no such property: there it is the status of HTTP.
    status_code(context, status)
    if context.answer.status >= 400:
        assert context.answer.json()["status"] == int(status), context.answer.body


@then(r"the response status code is (?P<status>\d+)")
def status_code(context, status):
    assert context.answer.status == int(status), f"{context.answer.status} {context.answer.body}"


@step(r'the response property "\$\.code" is "(?P<code>[^"]+)"')
def code_property(context, code):
    assert context.answer.json()["code"] == code, context.answer.body


@step(r'the response property "\$\.message" contains a user friendly text')
def message_property(context):
    # A sentence: words, from a capital letter or a field's name to its end.
    message = context.answer.json()["message"]
    assert len(message) <= 512 and re.match(r"[A-Za-z]\S*( \S+)+$", message), message
    jsonschema_rs.validate(schema(DEFINITION, "/components/schemas/ErrorInfo"), context.answer.json())


@step('the response header "Content-Type" is "application/json"')
def json_type(context):
    assert context.answer.headers.get_content_type() == "application/json"


@step('the response header "x-correlator" has same value as the request header "x-correlator"')
def same_correlator(context):
    assert context.answer.headers["x-correlator"] == context.headers["x-correlator"]


@step('the response body complies with the OAS schema at "(?P<pointer>[^"]+)"')
def body_complies(context, pointer):
    jsonschema_rs.validate(schema(DEFINITION, pointer), context.answer.json())
