"""Before the scenarios: what has to grow old begins its life, so that they wait for it once and not one after another."""

import time

from operator_api import Operator


def before_all(context):
    context.operator = Operator()
    context.old_token = context.operator.token()
    number = context.operator.fresh_number()
    context.old_id = context.operator.send(number)
    context.old_code = context.operator.code(context.old_id)
    context.begun = time.monotonic()
