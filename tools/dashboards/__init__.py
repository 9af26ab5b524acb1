"""The Grafana dashboards as code: one module a dashboard, `parts` has what they are made of.

`tools/make_dashboards.py` writes them to collector/dashboards. Needs Python 3.11 or newer: the SDK does.
"""
