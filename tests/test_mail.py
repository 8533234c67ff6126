"""The mail server: what arrives by SMTP is in the inbox, in words, unless it is told to refuse."""

from __future__ import annotations

import asyncio
import smtplib
import threading
from collections.abc import Iterator
from email.message import EmailMessage

import pytest

from world import mail
from world.faults import Fault, Faults
from world.inboxes import Inbox
from world.service import HOST, listen

Served = tuple[int, Inbox, Faults]


@pytest.fixture
def served() -> Iterator[Served]:
    listening, inbox, faults = listen(0), Inbox(), Faults()
    loop, begun = asyncio.new_event_loop(), threading.Event()

    async def serve() -> None:
        server = await mail.serve(listening, inbox, faults)
        begun.set()
        await ended
        server.close()

    ended: asyncio.Future[None] = loop.create_future()
    # In a thread: a browser of other tests keeps a loop of its own in this one.
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert begun.wait(30)
    yield listening.getsockname()[1], inbox, faults
    loop.call_soon_threadsafe(ended.set_result, None)
    thread.join()
    loop.close()


def send(port: int, message: EmailMessage) -> None:
    with smtplib.SMTP(HOST, port) as client:
        client.send_message(message)


def letter(text: str = "Gold is late.") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"] = "airflow@shop.example", "night@shop.example, day@shop.example"
    message["Subject"] = "Late again – Größe 7"
    message.set_content(text)
    return message


def test_mail_arrives_with_its_addresses_and_words(served: Served) -> None:
    port, inbox, _ = served
    with_picture = letter()
    with_picture.add_attachment(b"\x89PNG", maintype="image", subtype="png", filename="gold.png")
    send(port, with_picture)
    assert inbox.received == [
        {
            "from": "airflow@shop.example",
            "to": ["night@shop.example", "day@shop.example"],
            "subject": "Late again – Größe 7",
            "text": "Gold is late.",
            "attachments": ["gold.png"],
        }
    ]


def test_html_alone_is_shown_as_it_came(served: Served) -> None:
    port, inbox, _ = served
    message = letter()
    message.set_content("<b>late</b>", subtype="html")
    send(port, message)
    assert inbox.received[0]["text"] == "<b>late</b>"


def test_it_refuses_as_often_as_it_is_told(served: Served) -> None:
    port, inbox, faults = served
    faults.switch_on(Fault(endpoint="mail", status=451, times=1))
    with pytest.raises(smtplib.SMTPDataError, match="451"):
        send(port, letter())
    assert not inbox.received
    send(port, letter())
    assert len(inbox.received) == 1
