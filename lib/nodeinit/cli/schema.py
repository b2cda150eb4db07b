"""`nodeinit schema`: the JSON Schema of config files, for editors."""

from __future__ import annotations

import json

import click

from nodeinit.cli.errors import Command


@click.command(cls=Command)
def schema() -> None:
    """Print the JSON Schema of config files, for editors.

    In VS Code, for example: save it as nodeinit.schema.json and begin a config with
    `# yaml-language-server: $schema=nodeinit.schema.json`.
    """
    from nodeinit.config import json_schema

    click.echo(json.dumps(json_schema(), indent=2))
