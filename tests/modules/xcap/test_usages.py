"""What each application asks of its documents: schemas, constraints, namespaces."""

from __future__ import annotations

import pytest

from tests.modules.xcap.served import BILL, JOE, LISTS, RULES, SERVICES, STATE, client, said

REFERENCE = (
    "<rls-services xmlns='urn:ietf:params:xml:ns:rls-services'><service uri='sip:f@example.com'>"
    "<resource-list>{}</resource-list></service></rls-services>"
)
ENTRIES = "<resource-lists xmlns='urn:ietf:params:xml:ns:resource-lists'><list>{}</list></resource-lists>"


@pytest.mark.parametrize(
    ("path", "body", "answer"),
    [
        (SERVICES, REFERENCE.format(f"http://xcap.example.com{LISTS}/~~/resource-lists/list"), "201"),
        (SERVICES, REFERENCE.format(f" https://x:8443/resource-lists/users/{BILL}/index/~~/a "), "201"),
        (SERVICES, REFERENCE.format(f"http://x/resource-lists/users/{JOE}/index/~~/a"), "constraint-failure"),
        (SERVICES, REFERENCE.format(f"http://x/rls-services/users/{BILL}/index/~~/a"), "constraint-failure"),
        (SERVICES, REFERENCE.format(f"/resource-lists/users/{BILL}/index/~~/a"), "constraint-failure"),
        (SERVICES, REFERENCE.format("ftp://x/y"), "constraint-failure"),
        (LISTS, ENTRIES.format("<entry-ref ref='resource-lists/users/x/index/~~/a'/>"), "201"),
        (LISTS, ENTRIES.format("<entry-ref ref='/resource-lists'/>"), "constraint-failure"),
        (LISTS, ENTRIES.format("<entry-ref ref='http://x/y'/>"), "constraint-failure"),
        (LISTS, ENTRIES.format("<entry-ref ref='a'/><entry-ref ref='a'/>"), "uniqueness-failure"),
        (LISTS, ENTRIES.format("<external anchor='http://x/y'/>"), "201"),
        (LISTS, ENTRIES.format("<external anchor='y'/>"), "constraint-failure"),
        (LISTS, ENTRIES.format("<external/>"), "constraint-failure"),
        (LISTS, ENTRIES.format("<external anchor='http://x/y'/>" * 2), "uniqueness-failure"),
        (LISTS, ENTRIES.format("<entry/>"), "schema-validation-error"),
        (LISTS, ENTRIES.format("<x:y xmlns:x='urn:unknown'><z/></x:y>"), "201"),
    ],
)  # fmt: skip
def test_constraints_of_lists(path: str, body: str, answer: str) -> None:
    """RFC 4826 3.4.5, 4.4.5: what the schema does not say; unknown namespaces where it has room."""
    assert said(client().put(path, body.encode())) == answer


PRESENCE = "<presence xmlns='urn:ietf:params:xml:ns:pidf'{}/>"
RULE = """<ruleset xmlns="urn:ietf:params:xml:ns:common-policy" xmlns:pr="urn:ietf:params:xml:ns:pres-rules">
<rule id="a"><conditions><identity><one id="sip:joe@example.com"/></identity></conditions>
<actions><pr:sub-handling>{}</pr:sub-handling></actions><transformations/></rule></ruleset>"""


@pytest.mark.parametrize(
    ("path", "body", "answer"),
    [
        (RULES, RULE.format("allow"), "201"),
        (RULES.replace("pres-rules/", "org.openmobilealliance.pres-rules/"), RULE.format("allow"), "201"),
        (RULES, RULE.format("perhaps"), "schema-validation-error"),
        (RULES, RULE.format("allow").replace('id="a"', ""), "schema-validation-error"),
        (RULES, PRESENCE.format(" entity='sip:a@b'"), "schema-validation-error"),
        (STATE, PRESENCE.format(" entity='sip:bill@example.com'"), "201"),
        (STATE, PRESENCE.format(""), "schema-validation-error"),
        (STATE.replace("index", "second"), PRESENCE.format(" entity='sip:a@b'"), "constraint-failure"),
    ],
)  # fmt: skip
def test_rules_and_states(path: str, body: str, answer: str) -> None:
    """RFC 5025 9, RFC 4827 9: by their schemas; one document of the state."""
    assert said(client().put(path, body.encode())) == answer


def test_a_selector_in_rules() -> None:
    """RFC 5025 9.3: the default namespace is that of pres-rules, so common-policy needs a prefix."""
    bill = client()
    bill.put(RULES, RULE.format("allow").encode())
    path = f"{RULES}/~~/cr:ruleset/cr:rule%5B@id='a'%5D/cr:actions/sub-handling"
    path += "?xmlns(cr=urn:ietf:params:xml:ns:common-policy)"
    assert bill.get(path).body == b"<pr:sub-handling>allow</pr:sub-handling>"
    assert bill.put(path, b"<pr:sub-handling>block</pr:sub-handling>").status == 200
    assert b">block<" in bill.get(RULES).body
