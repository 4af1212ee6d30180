"""E-mail by the site's SMTP server, to addresses of the domains that the site names."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from urllib.parse import unquote, urlsplit

from vaas.errors import Invalid, Unavailable

__all__ = ["SmtpPost", "post"]

_SECONDS = 20.0
_PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}


@dataclass(frozen=True)
class SmtpPost:
    """Sends e-mail.

    Parameters
    ----------
    scheme:
        "smtp", "smtp+starttls" or "smtps".
    domains:
        To which it sends, as example.org; "*" is all.
    """

    scheme: str
    host: str
    port: int
    sender: str
    domains: tuple[str, ...]
    username: str = ""
    password: str = field(default="", repr=False)

    def takes(self, address: str) -> bool:
        """Tell whether it sends to this address."""
        domain = address.rpartition("@")[2].lower()
        return bool(domain) and ("*" in self.domains or domain in self.domains)

    async def send(self, address: str, subject: str, text: str) -> None:
        """Send it. Raises Unavailable."""
        message = EmailMessage()
        # No line of a title becomes a header of its own.
        message["Subject"] = " ".join(subject.split())[:200]
        message["From"], message["To"] = self.sender, address
        message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain=self.sender.rpartition("@")[2])
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text)
        try:
            await asyncio.to_thread(self._send, message)
        except (OSError, smtplib.SMTPException) as error:
            raise Unavailable("An e-mail could not be sent.", log_message=f"E-mail: {error}") from error

    def look(self, *, seconds: float = _SECONDS) -> None:
        """Connect and sign in, and send nothing. Raises Unavailable, with what the server said."""
        try:
            with self._connected(seconds) as server:
                server.noop()
        except (OSError, smtplib.SMTPException) as error:
            raise Unavailable(
                "E-mail cannot be sent at the moment.", log_message=f"{self.host}:{self.port} takes no e-mail: {error}"
            ) from error

    def _send(self, message: EmailMessage) -> None:
        with self._connected(_SECONDS) as server:
            server.send_message(message)

    @contextmanager
    def _connected(self, seconds: float) -> Iterator[smtplib.SMTP]:
        context = ssl.create_default_context()
        if self.scheme == "smtps":
            server: smtplib.SMTP = smtplib.SMTP_SSL(self.host, self.port, timeout=seconds, context=context)
        else:
            server = smtplib.SMTP(self.host, self.port, timeout=seconds)
        with server:
            if self.scheme == "smtp+starttls":
                server.starttls(context=context)
            if self.username:
                server.login(self.username, self.password)
            yield server


def post(environ: Mapping[str, str]) -> SmtpPost | None:
    """Return what the site says by VAAS_SMTP, VAAS_SMTP_FROM and VAAS_SMTP_TO; None: no e-mail is sent.

    Raises
    ------
    Invalid
        One of them cannot be, or is missing beside the others.
    """
    said = environ.get("VAAS_SMTP", "")
    if not said:
        return None
    sender, domains = (
        environ.get("VAAS_SMTP_FROM", ""),
        environ.get("VAAS_SMTP_TO", "").replace(",", " ").lower().split(),
    )
    try:
        parts = urlsplit(said)
        port = parts.port or _PORTS[parts.scheme]
        host = parts.hostname or ""
    except (ValueError, KeyError) as error:
        raise Invalid(
            "VAAS_SMTP is no address of a mail server. Write it like smtp+starttls://mail.example.org"
        ) from error
    if not host or "@" not in sender:
        raise Invalid("VAAS_SMTP needs a host, and VAAS_SMTP_FROM the address from which e-mail is sent.")
    if not domains:
        raise Invalid("VAAS_SMTP_TO says to which domains e-mail is sent, such as “example.org”; “*” is all of them.")
    name, word = unquote(parts.username or ""), unquote(parts.password or "")
    return SmtpPost(parts.scheme, host, port, sender, tuple(domains), name, word)
