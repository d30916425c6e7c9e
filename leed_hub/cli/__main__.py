"""`python -m leed_hub.cli`."""

from leed_hub.cli import app

app()
