"""A mail server that delivers everything into one inbox. It speaks SMTP, without encryption or login."""

from __future__ import annotations

import asyncio
import email
import email.policy
import socket
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from world.faults import MAIL, Faults
from world.inboxes import Inbox


class _Delivery:
    """What aiosmtpd asks of a handler: a reply for each message."""

    def __init__(self, inbox: Inbox, faults: Faults) -> None:
        self._inbox, self._faults = inbox, faults

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        """Take a message, or refuse it as the fault of ``mail`` says."""
        fault = self._faults.take(MAIL)
        if fault is not None:
            await asyncio.sleep(fault.slow)
            if fault.status is not None:
                return f"{fault.status} {MAIL} is out of order"
        self._inbox.take(_described(envelope))
        return "250 OK"


def _described(envelope: Envelope) -> dict[str, Any]:
    """Who, whom, the subject and the text; of several versions of a text the plain one, else HTML as it is."""
    content = envelope.content or b""
    message = email.message_from_bytes(
        content if isinstance(content, bytes) else content.encode(),
        _class=EmailMessage,
        policy=email.policy.default,
    )
    body = message.get_body(("plain", "html"))
    return {
        "from": envelope.mail_from,
        "to": list(envelope.rcpt_tos),
        "subject": str(message.get("subject", "")),
        "text": body.get_content().strip() if body is not None else "",
        "attachments": [part.get_filename() or "" for part in message.iter_attachments()],
    }


async def serve(listening: socket.socket, inbox: Inbox, faults: Faults) -> asyncio.Server:
    """Serve on a listening socket, in the running loop, until the server is closed."""
    delivery = _Delivery(inbox, faults)
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: SMTP(delivery, hostname="mail.example"), sock=listening)
