"""What the reader sees: pure functions and values from data to HTML, SVG and text.

The HTML carries the classes of ``book/_static/windtunnel.css``, which the book loads and `windtunnel.style`
brings to a notebook. Pictures also carry plain attributes, so that they are legible without it.
"""
