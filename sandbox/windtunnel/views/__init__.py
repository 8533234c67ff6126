"""What the reader sees: pure functions and values from data to HTML, SVG and text.

Everything here draws with ``currentColor`` and Airflow's own state colours, so that it fits a light or a dark
page, in JupyterLab and in the book, without a style sheet.
"""
