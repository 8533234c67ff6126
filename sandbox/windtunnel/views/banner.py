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
    clock: str = ""  # the moment at which it begins, where time can be turned
    # HTML: how to come to the web interface.
    way_in: str = "<code>windtunnel ui</code> in a terminal opens it and tells the password."

    def __repr__(self) -> str:
        when = f" Its clock shows {self.clock} UTC." if self.clock else ""
        return f"Airflow {self.version} is live, and fresh for this chapter.{when}"

    def _repr_html_(self) -> str:
        link = f'<a href="{escape(self.url)}" target="_blank">{escape(self.url)}</a>. ' if self.url else ""
        return (
            f'{self.style}<div class="wt-card wt-ok"><p class="wt-title">{escape(repr(self))}</p>'
            f"<p>Its web interface: {link}"
            f"{self.way_in}</p></div>"
        )
