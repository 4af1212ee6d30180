"""Find what looks like a password, a key or a token in text, with few false alarms."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Secret", "find_secrets"]

#: No more are told of one text: the author sees that there is something to clean.
MAX_FOUND = 50
_MAX_TEXT = 2_000_000


@dataclass(frozen=True)
class Secret:
    """Something that looks like a secret: what kind, in which line (from 1), and how it begins."""

    kind: str
    line: int
    preview: str


#: kind → what such tokens look like; the group "value" is the secret where that is not the whole match.
_TOKENS: dict[str, str] = {
    "private key": r"-----BEGIN (?:[A-Z]{2,10} ){0,2}PRIVATE KEY(?: BLOCK)?-----",
    "AWS access key": r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b",
    "GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{60,255})\b",
    "GitLab token": r"\bgl(?:pat|ptt|dt|rt|cbt|oas|soat)-[A-Za-z0-9_-]{20,100}",
    "Slack token": r"\bxox[abeoprs]-[A-Za-z0-9-]{10,250}",
    "Slack webhook": r"\bhooks\.slack\.com/services/(?P<value>T[A-Z0-9]{6,}/B[A-Z0-9]{6,}/[A-Za-z0-9]{20,})",
    "Google API key": r"\bAIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])",
    "Google access token": r"\bya29\.[A-Za-z0-9_-]{30,500}",
    "Hugging Face token": r"\bhf_[A-Za-z]{34}\b",
    "PyPI token": r"\bpypi-AgEI[A-Za-z0-9_-]{50,500}",
    "npm token": r"\bnpm_[A-Za-z0-9]{36}\b",
    "Stripe key": r"\b[sr]k_live_[A-Za-z0-9]{20,250}",
    "SendGrid key": r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}",
    "DigitalOcean token": r"\bdo[opr]_v1_[a-f0-9]{64}\b",
    "Mapbox secret token": r"\bsk\.eyJ[A-Za-z0-9_-]{20,500}\.[A-Za-z0-9_-]{10,100}",
    "API key": r"\bsk-(?:ant-|proj-|svcacct-)?(?=[A-Za-z_-]{0,60}[0-9])[A-Za-z0-9_-]{32,250}",
    "JSON web token": r"\beyJ[A-Za-z0-9_-]{10,4000}\.eyJ[A-Za-z0-9_-]{10,8000}\.[A-Za-z0-9_-]{10,2000}",
    "password in an address": r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@\"'<>]{1,100}:(?P<value>[^\s/@\"'<>]{1,200})@[\w.-]",
    "token in an address": r"[?&](?:access_token|api_?key|auth|private_token|sig|token)=(?P<value>[\w.~%-]{16,500})",
    "access token": r"(?i:authorization)[\"']?\s*[:=,]\s*f?[\"']?(?i:bearer|basic|token)\s+"
    r"(?P<value>[A-Za-z0-9._~+/=-]{16,2000})",
}
_PATTERNS = {kind: re.compile(pattern) for kind, pattern in _TOKENS.items()}

_NAME = r"(?P<name>[\w.-]{0,60}?(?:pass(?:word|wd|phrase)|pwd|secret|token|credentials?|key)\d{0,3})"
#: ``name = "value"``, ``"name": "value"``, ``environ["name"] = "value"``, ``f(name="value")``.
_ASSIGNED = re.compile(
    rf"(?<![\w.-]){_NAME}[\"']?\]?\s{{0,20}}(?::\s{{0,5}}\w{{1,20}}\s{{0,5}})?(?P<sign>:=|=>|=|:|,)\s{{0,20}}[rbfu]{{0,2}}"
    r"(?P<quote>[\"'])(?P<value>[^\"'\n\\]{4,400})(?P=quote)",
    re.IGNORECASE,
)
#: The same in files of settings, where nothing is quoted.
_SETTING = re.compile(
    rf"^\s{{0,40}}(?:export\s+)?{_NAME}\s{{0,20}}[=:]\s{{0,20}}(?P<value>[^\s\"'#]{{4,400}})\s*$",
    re.IGNORECASE | re.MULTILINE,
)

#: Most lines need no closer look.
_LINE_OF_INTEREST = re.compile(r"^.*?(?:pass|pwd|secret|token|credential|key).*$", re.IGNORECASE | re.MULTILINE)
_LONG_BASE64 = re.compile(r"[A-Za-z0-9+/]{600,}={0,2}")
_PLACEHOLDER = re.compile(
    r"(?i)[<{$%].*|.*[>}]|(.)\1*|.*(?:\.\.\.|…|x{4,}|\*{3,}|your|changeme|change[_-]me|example|placeholder|dummy|"
    r"redacted|insert|replace|todo|fixme|not[_-]?set|undefined).*|(?:my|the|a|some|test|default|fake|sample)?[_-]?"
    r"(?:api|access|auth|secret)?[_-]?(?:pass|passwd|password|passphrase|pwd|secret|token|key|user|username|none|null|"
    r"true|false|string|str|test|hidden|optional|required|basic|bearer|text|value|abc|123\d*|passwort|kennwort|geheim)\d*"
)
_UUID = re.compile(r"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|(?:os|sys|self|cfg|config|settings|env|environ)[.\[(].*")
_FILE_NAME = re.compile(r"[\w./~-]+\.[A-Za-z]{2,4}|(?:~|\.{1,2})?/[\w./-]+")
#: "key" means so much else that only these are of interest.
_KEY_NAME = re.compile(
    r"(?i).*(?:api|access|secret|private|auth|encryption|signing|account|client|consumer|service|storage|subscription|"
    r"master|server|session|cookie|hmac|fernet|aws|s3|azure|openai)[_.-]?key\d*"
)
#: What language models, parsers and paged interfaces call tokens.
_HARMLESS_TOKEN = re.compile(r"(?i).*(?:bos|eos|pad|unk|sep|cls|mask|next|page|continuation|sync|stop)[_.-]?token\d*")


def find_secrets(text: str, *, settings: bool = False) -> list[Secret]:
    """Return what looks like a secret in ``text``, by line; ``settings``: it is a file of settings, unquoted."""
    # A picture in base64 is long enough to hold anything by chance.
    text = _LONG_BASE64.sub(lambda match: " " * len(match.group()), text[:_MAX_TEXT])
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    taken: list[tuple[int, int]] = []
    found: list[Secret] = []
    for kind, value, start in _candidates(text, settings=settings):
        end = start + len(value)
        if len(found) < MAX_FOUND and not any(a < end and start < b for a, b in taken):
            taken.append((start, end))
            found.append(Secret(kind, bisect_right(starts, start), _preview(value)))
    return sorted(found, key=lambda secret: secret.line)


def _candidates(text: str, *, settings: bool) -> Iterator[tuple[str, str, int]]:
    """Yield (kind, value, place), the surest kinds first."""
    for kind, pattern in _PATTERNS.items():
        for match in pattern.finditer(text):
            group = "value" if "value" in pattern.groupindex else 0
            if group == 0 and "EXAMPLE" not in match[0]:
                yield kind, match[0], match.start()
            elif group and not _PLACEHOLDER.fullmatch(match[group]):
                yield kind, match[group], match.start(group)
    for line in _LINE_OF_INTEREST.finditer(text):
        for pattern in (_ASSIGNED, _SETTING) if settings else (_ASSIGNED,):
            for match in pattern.finditer(line[0]):
                listed = "sign" in pattern.groupindex and match["sign"] == ","
                if kind := _assigned_kind(match["name"], match["value"], listed=listed):
                    yield kind, match["value"], line.start() + match.start("value")


def _assigned_kind(name: str, value: str, *, listed: bool) -> str:
    """Return what a variable of this name is given, "" for nothing secret.

    ``listed`` is the weaker sign that the value only follows the name, as in a list of column names.
    """
    last = re.split(r"[._-]", name.lower().rstrip("0123456789"))[-1]
    if _PLACEHOLDER.fullmatch(value) or _VARIABLE.fullmatch(value) or _UUID.fullmatch(value) or " " in value:
        return ""
    if re.search(r"pass(word|wd|phrase)$|pwd$", last):
        harmless = _FILE_NAME.fullmatch(value) or (listed and re.fullmatch(r"[A-Za-z_]+", value))
        return "" if harmless else "password"
    kind = next(word for word in ("secret", "token", "credential", "key", "pass") if word in last)
    if _HARMLESS_TOKEN.fullmatch(name) or (kind == "key" and not _KEY_NAME.fullmatch(name)):
        return ""
    return kind if len(value) >= 12 and _is_random(value) else ""


def _is_random(value: str) -> bool:
    """Tell whether nobody would write this by hand: letters and digits mixed, few words, few repetitions."""
    if not (re.search(r"[A-Za-z]", value) and re.search(r"\d", value)) or not re.fullmatch(r"[\w+/=.~:-]+", value):
        return False
    words = re.findall(r"(?<![A-Za-z0-9])[A-Za-z]{2,}(?![A-Za-z0-9])|[a-z]{5,}", value)
    if sum(map(len, words)) > 0.5 * len(value):
        return False
    counts = Counter(value).values()
    entropy = -sum(n / len(value) * math.log2(n / len(value)) for n in counts)
    return entropy >= 3.0


def _preview(value: str) -> str:
    return value[: min(4, len(value) // 3)].strip("-") + "…"
