"""The outer half of the module ``e164``: the numbering plans of the world, as ``phonenumbers`` has them."""

from __future__ import annotations

from collections.abc import Mapping

from sansip.modules.e164 import E164Settings, FindNumber, Number
from sansip_server.faults import OperatorError
from sansip_server.parts import Function, Part

__all__ = ["E164Part"]

# ``phonenumbers.PhoneNumberFormat.E164``; the library may be missing.
_E164 = 0


class E164Part(Part):
    """Answers what is known of numbers."""

    # The library is pure Python: each worker asks its own.
    each = True

    def __init__(self, settings: E164Settings) -> None:
        super().__init__(settings)
        if faults := self.faults(settings):
            raise OperatorError(f"e164: {faults[0]}")
        import phonenumbers

        # The library reads its tables when it first needs them, which holds the interpreter for a while: now,
        # and not while a call waits.
        example = phonenumbers.example_number(settings.region or "DE")
        if example is not None:
            self.find(FindNumber(phonenumbers.format_number(example, _E164), ""))

    @classmethod
    def faults(cls, settings: E164Settings) -> list[str]:
        """Return what is missing: the library, or its plan of the region."""
        try:
            import phonenumbers
        except ImportError:
            return ["it needs phonenumbers; pip install 'sansip[e164]'"]
        if settings.region and settings.region not in phonenumbers.SUPPORTED_REGIONS:
            return [f"region: no numbering plan of {settings.region}; expected one like DE"]
        return []

    def handlers(self) -> Mapping[type, Function]:
        return {FindNumber: self.find}

    def find(self, question: FindNumber) -> Number | None:
        """Return what is known of a number, None for a text that is none."""
        import phonenumbers
        from phonenumbers import carrier

        try:
            parsed = phonenumbers.parse(question.text, question.region or None)
        except phonenumbers.NumberParseException:
            return None
        return Number(
            phonenumbers.format_number(parsed, _E164),
            phonenumbers.is_valid_number(parsed),
            parsed.country_code or 0,
            phonenumbers.region_code_for_number(parsed) or "",
            phonenumbers.PhoneNumberType.to_string(phonenumbers.number_type(parsed)).lower(),
            carrier.name_for_number(parsed, "en"),
        )
