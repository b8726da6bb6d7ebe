"""Find secrets and personal data in rows: a model must not learn them by heart.

Secrets: the patterns of detect-secrets for the keys of some twenty services, private keys, tokens
and passwords in addresses, with a few newer forms of keys. Its guesses by entropy and by words such
as "password" are not used: of code they are mostly wrong. So a password that has no form is not
found, nor is a person's name or postal address.

Personal data: forms with a check of their own, or with signs that nothing else has. What RFC 2606,
RFC 5737 and the 555 numbers reserve for examples is none.

Source: the filters of StarCoder (Li et al. 2023, section 4), which used detect-secrets too.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import NamedTuple

_NEWER = {
    "Google API Key": re.compile(r"\bAIza[0-9A-Za-z_-]{35}(?![0-9A-Za-z_-])"),
    "OpenAI or Anthropic Key": re.compile(r"\bsk-(?:proj|svcacct|ant|or)-[\w-]{20,}"),
    "Hugging Face Token": re.compile(r"\bhf_[A-Za-z]{34}\b"),
    "GitHub Token": re.compile(r"\bgithub_pat_\w{60,}"),
}
_GUESSES = {"Public IP (ipv4)"}  # is personal, see below
_RESERVED = re.compile(
    r"(?:^|\.)(?:example(?:\.\w+)?|test|invalid|localhost|local|\w\.\w+|domain\.\w+)$",
    re.IGNORECASE,
)
# What every one of them has: few rows need the slow look.
_MAY_BE_SECRET = re.compile(r"[A-Za-z0-9+/=_-]{16}|://|PRIVATE KEY")
_MAY_BE_PERSONAL = re.compile(r"\d[\d .()-]{5,}\d")


REASONS = ("secret", "personal")


class Found(NamedTuple):
    """What a text holds that no row may: never its value."""

    reason: str  # of `REASONS`
    kind: str


def find(text: str) -> Found | None:
    """Return the first kind of secret or of personal data in a text, or None."""
    if _MAY_BE_SECRET.search(text):
        for kind, holds in _secret_checks().items():
            if holds(text):
                return Found("secret", kind)
    if "@" in text or _MAY_BE_PERSONAL.search(text):
        for kind, (pattern, is_real) in _PERSONAL.items():
            if any(is_real(match[0]) for match in pattern.finditer(text)):
                return Found("personal", kind)
    return None


@cache
def _secret_checks() -> dict[str, Callable[[str], bool]]:
    """Return a check for each kind of secret; detect-secrets takes half a second to import."""
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    from detect_secrets.plugins.base import RegexBasedDetector

    checks: dict[str, Callable[[str], bool]] = {}
    for kind, detector in sorted(get_mapping_from_secret_type_to_class().items()):
        if issubclass(detector, RegexBasedDetector) and kind not in _GUESSES:
            checks[kind] = _detects(detector().analyze_string)
    for kind, pattern in _NEWER.items():
        checks[f"{kind} (newer form)"] = _detects(pattern.findall)
    return checks


def _detects(analyse: Callable[[str], Iterable[str]]) -> Callable[[str], bool]:
    return lambda text: any(True for _ in analyse(text))


def _is_address(text: str) -> bool:
    return not _RESERVED.search(text.partition("@")[2])


def _is_phone(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    return 8 <= len(digits) <= 15 and "555" not in digits


def _is_iban(text: str) -> bool:
    """Say whether the check digits of ISO 13616 are right."""
    plain = text.replace(" ", "")
    if not 15 <= len(plain) <= 34:
        return False
    return int("".join(str(int(sign, 36)) for sign in plain[4:] + plain[:4])) % 97 == 1


def _is_card(text: str) -> bool:
    """Say whether the last digit is Luhn's of the rest."""
    digits = [int(sign) for sign in text if sign.isdigit()]
    if not 13 <= len(digits) <= 19 or len(set(digits)) < 2:
        return False
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[::-2]) + sum(doubled)) % 10 == 0


def _is_public(text: str) -> bool:
    """Say whether it is an address of the internet; four small numbers are a version."""
    try:
        return ipaddress.ip_address(text).is_global and max(map(int, text.split("."))) > 20
    except ValueError:
        return False


_PERSONAL: dict[str, tuple[re.Pattern[str], Callable[[str], bool]]] = {
    "e-mail": (
        re.compile(r"(?<![\w.+-])[\w][\w.+-]*@[A-Za-z0-9][\w-]*(?:\.[\w-]+)*\.[A-Za-z]{2,}\b"),
        _is_address,
    ),
    "phone": (
        re.compile(
            r"(?<![\w.])\+[1-9]\d{0,2}(?:[ .-]\(?\d{1,5}\)?){2,5}(?![\w.])"
            r"|(?<![\w.(])\([2-9]\d{2}\) \d{3}-\d{4}(?!\w)"
            r"|(?<![\w.-])[2-9]\d{2}-[2-9]\d{2}-\d{4}(?![\w-])"
        ),
        _is_phone,
    ),
    "IBAN": (re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"), _is_iban),
    "card": (re.compile(r"(?<![\w.-])[3-6]\d{3}(?:[ -]\d{4}){3}(?![\w-])"), _is_card),
    "US social security": (
        re.compile(r"(?<![\w.-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])"),
        lambda _: True,
    ),
    "internet address": (
        re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.])"),
        _is_public,
    ),
}
