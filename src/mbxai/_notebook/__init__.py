"""How results look in a notebook. Pure: values in, HTML or the pieces of a repr out.

It knows the shapes of results and not their classes, so that every part may use it; a result
imports it when it is looked at, and not before.
"""

from mbxai._notebook._agent import (
    evaluation_html,
    plan_facts,
    plan_html,
    request_html,
    requirement_html,
    response_facts,
    response_html,
    summary_facts,
    summary_html,
    task_facts,
    tasks_table,
)
from mbxai._notebook._completion import completion_facts, completion_html, pending_html
from mbxai._notebook._lists import items_html, session_html, sessions_html
from mbxai._notebook._markup import Facts, Markup, card, counted, listing, money, paragraph

__all__ = [
    "Facts",
    "Markup",
    "card",
    "completion_facts",
    "completion_html",
    "counted",
    "evaluation_html",
    "items_html",
    "listing",
    "money",
    "paragraph",
    "pending_html",
    "plan_facts",
    "plan_html",
    "request_html",
    "requirement_html",
    "response_facts",
    "response_html",
    "session_html",
    "sessions_html",
    "summary_facts",
    "summary_html",
    "task_facts",
    "tasks_table",
]
