"""How long a binding lasts: RFC 3261 10.3, step 7, first half."""

from __future__ import annotations

import pytest

from tests.registrar.conftest import DESK, PHONE


class TestExpiration:
    """Step 7, first half: the interval of each contact."""

    def test_the_parameter_comes_first_then_the_field_then_the_default(self, make_site, values):
        """ "expires" in the value, else Expires, else what is configured."""
        site = make_site(default_expires=1800)

        assert values(site.send(f"{PHONE};expires=120", DESK, expires=240), "Contact") == [
            "<sip:alice@192.0.2.1>;expires=120",
            "<sip:alice@192.0.2.2>;expires=240",
        ]
        assert values(site.send(PHONE), "Contact")[1] == "<sip:alice@192.0.2.1>;expires=1800"

    @pytest.mark.parametrize("malformed", ["-5", "abc", '"3600"', "1.5", "", "0x10", "٣"])
    def test_a_malformed_value_counts_as_an_hour(self, site, values, malformed):
        """10.2: "Malformed values SHOULD be treated as equivalent to 3600"."""
        assert site.send(PHONE, expires=malformed or ";").status == 200
        assert values(site.send(), "Contact") == ["<sip:alice@192.0.2.1>;expires=3600"]

    @pytest.mark.parametrize("huge", ["86401", "4294967295", "4294967296", "99999999999", "9" * 5000])
    def test_a_long_request_is_shortened(self, site, values, huge):
        """The registrar may choose less; beyond 2**32-1 all is one. Kamailio: 3600."""
        assert values(site.send(f"{PHONE};expires={huge}"), "Contact") == [
            "<sip:alice@192.0.2.1>;expires=86400"
        ]

    def test_zero_removes(self, site):
        """10.2.2: by the parameter or by the field, for that contact only."""
        site.send(PHONE, DESK)

        assert site.send(f"{PHONE};expires=0").status == 200
        assert site.contacts() == ["sip:alice@192.0.2.2"]
        assert site.send(DESK, expires=0).status == 200
        assert site.contacts() == []

    def test_removing_what_is_not_there_is_no_error(self, site):
        """The phone wants it gone, and it is."""
        site.send(PHONE)

        assert site.send(f"{DESK};expires=0").status == 200
        assert site.contacts() == ["sip:alice@192.0.2.1"]

    @pytest.mark.parametrize("expires", [1, 9])
    def test_too_brief_is_refused_with_the_minimum(self, site, values, expires):
        """423, which "MUST contain a Min-Expires header field"; nothing is stored."""
        reply = site.send(f"{DESK};expires=600", PHONE, expires=expires)

        assert (reply.status, reply.reason) == (423, "Interval Too Brief")
        assert values(reply, "Min-Expires") == ["10"]
        assert site.contacts() == []

    def test_the_minimum_is_enough(self, site, values):
        """Only a smaller value is too brief."""
        assert values(site.send(f"{PHONE};expires=10"), "Contact") == ["<sip:alice@192.0.2.1>;expires=10"]

    def test_an_hour_is_never_too_brief(self, make_site):
        """ "If and only if … greater than zero AND smaller than one hour AND less than" the minimum."""
        site = make_site(min_expires=7200, default_expires=7200)

        assert site.send(f"{PHONE};expires=3599").status == 423
        assert site.send(f"{PHONE};expires=3600").status == 200
        assert site.send(f"{PHONE};expires=0").status == 200

    def test_brief_requests_may_be_raised_instead(self, make_site, values):
        """A switch for phones that give up at 423; Kamailio's default."""
        site = make_site(raise_brief=True, min_expires=60)

        assert values(site.send(f"{PHONE};expires=10"), "Contact") == ["<sip:alice@192.0.2.1>;expires=60"]

    def test_a_binding_ends_when_its_interval_does(self, site):
        """10.2.2: soft state. Not one lookup later."""
        site.send(f"{PHONE};expires=60")

        site.now += 59.9
        assert site.contacts() == ["sip:alice@192.0.2.1"]
        site.now += 0.1
        assert site.contacts() == []

    def test_the_200_gives_what_is_left(self, site, values):
        """Each value has the interval as it is now, never 0, which would mean removed."""
        site.send(f"{PHONE};expires=60")

        site.now += 30.5
        assert values(site.send(), "Contact") == ["<sip:alice@192.0.2.1>;expires=29"]
        site.now += 29.0
        assert values(site.send(), "Contact") == ["<sip:alice@192.0.2.1>;expires=1"]
