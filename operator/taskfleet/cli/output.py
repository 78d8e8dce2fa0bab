"""How commands speak: results on stdout, remarks on stderr; for people, or JSON for scripts.

Colours and live progress appear only on a terminal (rich honours NO_COLOR and TERM=dumb); elsewhere plain lines.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
import orjson

if TYPE_CHECKING:
    from rich.console import Console


class Output:
    """Where one command's words go. ``as_json`` is True with ``-o json``."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def result(self, data: Mapping[str, Any], *lines: str) -> None:
        """The outcome of a command: ``data`` as one JSON line, or ``lines`` for people."""
        if self.as_json:
            self.json_line(data)
            return
        for line in lines:
            click.echo(line)

    def json_line(self, data: Mapping[str, Any]) -> None:
        """One JSON object on a line of its own."""
        click.echo(orjson.dumps(data))

    def remark(self, text: str) -> None:
        """Something a person should know beside the result. Not with ``-o json``: scripts read codes."""
        if not self.as_json:
            click.echo(text, err=True)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Rows with aligned columns: drawn on a terminal, tab-separated without a title elsewhere."""
        if not sys.stdout.isatty():
            for row in (columns, *rows):
                click.echo("\t".join(str(cell) for cell in row))
            return
        from rich.table import Table  # late: most commands print no table

        table = Table(title=title, title_justify="left", header_style="bold")
        for number, column in enumerate(columns):
            table.add_column(column, justify="left" if number == 0 else "right")
        for row in rows:
            table.add_row(*(str(cell) for cell in row))
        self.console().print(table)

    @staticmethod
    def console(*, stderr: bool = False) -> "Console":
        """A rich console for live displays; only worth it on a terminal."""
        from rich.console import Console  # late: it takes longer to import than most commands run

        return Console(stderr=stderr, highlight=False)
