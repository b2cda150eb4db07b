"""From an exception to one clear message and an exit code."""

from __future__ import annotations

import enum
import sys
import traceback
from typing import Any, NoReturn

import click

from nodeinit.errors import (
    ConfigError,
    DefinitionError,
    InitializationCancelled,
    InitializationFailed,
    JournalError,
    NodeInitError,
)

DEBUG = "nodeinit.debug"


class ExitCode(enum.IntEnum):
    """What the program answers to its caller."""

    READY = 0
    USAGE = 2  # bad usage or config; nothing was started
    INFEASIBLE = 3
    FAILED = 4
    CANCELLED = 5


def exit_code_of(error: BaseException) -> ExitCode:
    """The exit code that an exception stands for."""
    match error:
        case ConfigError() | JournalError() | DefinitionError():
            return ExitCode.USAGE
        case InitializationCancelled():
            return ExitCode.CANCELLED
        case InitializationFailed() if error.reason.code == "infeasible":
            return ExitCode.INFEASIBLE
        case _:
            return ExitCode.FAILED


def report(error: BaseException) -> None:
    """Say on stderr what went wrong: one message, and the traceback only with `--debug`."""
    show_traceback(error)
    if isinstance(error, NodeInitError):
        text = str(error)
    else:
        text = f"{type(error).__name__}: {error}"
        if not debugging():
            text += " (this was not expected; --debug shows where it came from)"
    click.echo(f"{click.style('Error:', fg='red', bold=True)} {text}", err=True)


def show_traceback(error: BaseException) -> None:
    """The traceback of an error, if the caller wants it."""
    if debugging():
        traceback.print_exception(error)


def debugging() -> bool:
    """Whether the caller wants tracebacks."""
    context = click.get_current_context(silent=True)
    return bool(context is not None and context.find_root().meta.get(DEBUG))


def _set_debug(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        context.find_root().meta[DEBUG] = True


class Command(click.Command):
    """A command with `--debug`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(
            click.Option(
                ["--debug"],
                is_flag=True,
                expose_value=False,
                is_eager=True,
                callback=_set_debug,
                help="Show the traceback of an error.",
            )
        )


class Commands(click.Group):
    """A group whose commands have `--debug`."""

    command_class = Command


class Program(Commands):
    """The root group: no exception leaves it as a traceback that nobody asked for."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for; an error becomes a message and an exit code."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            click.echo("Cancelled.", err=True)
            ctx.exit(ExitCode.CANCELLED)
        except BrokenPipeError:
            _close_pipe()
        except Exception as error:
            report(error)
            ctx.exit(exit_code_of(error))


def _close_pipe() -> NoReturn:
    """Whoever read our output has gone (`| head`): that is no error, and all was said."""
    sys.stdout = None  # else Python complains when it flushes at exit
    raise SystemExit(0)
