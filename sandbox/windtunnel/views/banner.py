"""What loading the extension answers: an Airflow is there."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Banner:
    """``url`` is left out of a page that is built: it would be another machine's."""

    version: str
    url: str | None = None
    style: str = ""

    def __repr__(self) -> str:
        return f"Airflow {self.version} is live, and fresh for this chapter."

    def _repr_html_(self) -> str:
        link = f'<a href="{escape(self.url)}" target="_blank">{escape(self.url)}</a>. ' if self.url else ""
        return (
            f'{self.style}<div class="wt-card wt-ok"><p class="wt-title">{escape(repr(self))}</p>'
            f"<p>Its web interface: {link}"
            f"<code>windtunnel ui</code> in a terminal opens it and tells the password.</p></div>"
        )
