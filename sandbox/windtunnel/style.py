"""The book's style sheet for outputs, so that a notebook shows them as the book does."""

from __future__ import annotations

from windtunnel.errors import WindtunnelError
from windtunnel.paths import repo_root


def style() -> str:
    """A ``<style>`` element; empty where the book's files are not at hand."""
    try:
        sheet = (repo_root() / "book/_static/windtunnel.css").read_text(encoding="utf-8")
    except (OSError, WindtunnelError):
        return ""
    return f"<style>{sheet}</style>"
