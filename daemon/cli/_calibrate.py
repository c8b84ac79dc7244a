"""``microscoped calibrate``: what must be learned of a microscope before it may be trusted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from microscoped.daemon.cli._calibrate_follow import calibrated
from microscoped.daemon.cli._calibrate_hologram import hologram
from microscoped.daemon.cli._console import FAILED
from microscoped.daemon.cli._send import ADDRESS, Address, AsJson, Key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

calibrate = typer.Typer(no_args_is_help=True, help="Learn what this microscope needs before it is trusted.")


@calibrate.callback()
def _calibrate() -> None:
    """Learn what this microscope needs before it is trusted."""


@calibrate.command()
def focus(
    fields: Annotated[int, typer.Option(help="Fields of the specimen with something to focus on.", min=3, max=50)] = 6,
    delta_dof: Annotated[
        float | None,
        typer.Option(
            help="Distance between the two images, in depths of field.", min=0.6, max=3.8, show_default="as configured"
        ),
    ] = None,
    channel: Annotated[str | None, typer.Option(help="Name of the light that is on.", show_default="not named")] = None,
    extremum: Annotated[
        Literal["max", "min", "auto"] | None,
        typer.Option(help="Focus is the max of contrast, or the min (unstained).", show_default="as configured"),
    ] = None,
    dose_budget: Annotated[
        float | None, typer.Option(help="Most exposure in all, in ms; more is refused.", min=1, show_default="none")
    ] = None,
    deep: Annotated[
        bool,
        typer.Option("--deep", help="Where nothing cheaper passes, fine-tune the network (needs the extra train)."),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask nothing: the microscope shows other fields by itself.")
    ] = False,
    as_json: AsJson = False,
    address: Address = ADDRESS,
    key: Key = None,
) -> None:
    """Find out whether focus from pairs of images can be trusted on this microscope, and learn what it takes.

    Put a specimen on, roughly in focus. In each field the focus is searched and the stage sweeps ten depths of field to
    either side of it; between fields you move the slide. Ctrl-C ends it, and the stage returns to its start.

    Exit code: 0 if the calibration is accepted, 1 if it is rejected or could not be made, 2 for a wrong option.
    """
    asked = {
        "fields": fields,
        "delta_dof": delta_dof,
        "channel": channel,
        "extremum": extremum,
        "dose_budget_ms": dose_budget,
    }
    params: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    if deep:
        params["deep"] = True

    def say(line: str) -> None:
        typer.echo(line, err=as_json)

    result = calibrated(
        params,
        address=address,
        key=key,
        yes=yes,
        as_json=as_json,
        show_plan=lambda plan: _show_plan(plan, say),
        say=say,
        line=_line,
        prompt=_prompt,
    )
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False))
    else:
        _show_result(result, say)
    if not result["accepted"]:
        raise typer.Exit(FAILED)


def _show_plan(plan: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Print what the microscope is said to be, and what will be done to it."""
    rows = (
        ("objective", plan["objective"], "optics.objective"),
        ("aperture", f"{plan['na']:g}", "optics.na"),
        ("wavelength", f"{plan['wavelength_nm']:g} nm", "optics.wavelength_nm"),
        ("immersion", f"{plan['immersion_index']:g}", "optics.immersion_index"),
        ("pixel", f"{plan['pixel_size_um']:g} µm, binned {plan['binning']} ×", "optics.pixel_size_um"),
        ("light", plan["channel"] or "not named", "--channel"),
    )
    for name, value, key in rows:
        say(f"{name:<11} {value}  ({key})")
    say(f"depth of field {plan['dof_um']:.3g} µm; the two images of a pair lie {plan['delta_um']:.3g} µm apart")
    low, high = plan["limits_um"]
    say(
        f"{plan['fields']} fields, ±{plan['sweep_um']:.3g} µm around the focus of each, within {low:g} … {high:g} µm; "
        f"the stage is at {plan['start_um']:g} µm"
    )
    say(
        f"at most {plan['images_most']} images of {plan['exposure_ms']:g} ms: {plan['dose_ms_most'] / 1000:.3g} s of "
        "light on the specimen"
    )
    if plan["deep"]:
        say("where nothing cheaper passes, the network is fine-tuned on the pairs, which takes minutes")


def _prompt(progress: Mapping[str, Any]) -> str:
    return (
        f"Move the slide to another field ({progress['accepted']} of {progress['fields']} are done), roughly in focus,"
    )


def _line(progress: Mapping[str, Any]) -> str:
    doing = f": {progress['doing']}" if progress["doing"] else ""
    return f"field {progress['field']}, {progress['images']} images, {progress['phase']}{doing}"


def _show_result(result: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Print the verdict and what it rests on."""
    stage = result["stage"]
    if stage is not None:
        more = "" if stage["backlash_seen"] else "more than "
        say(
            f"stage: play {more}{stage['backlash_um']:.2f} µm, positioning error {stage['jitter_um']:.3f} µm, drift "
            f"{stage['drift_um_s']:.3f} ± {stage['drift_error_um_s']:.3f} µm/s, flicker {stage['flicker']:.2%}"
        )
    for line in result["rejected"]:
        say(f"rejected: {line}")
    long = result["long"] or {}
    rows = {
        "as shipped": result["before"],
        "fitted, fields left out": result["fitted"],
        "judged": result["after"],
        "long pairs, as shipped": long.get("before"),
        "long pairs, judged": long.get("after"),
    }
    for title, figures in rows.items():
        if figures is not None and figures["mean_dof"] is not None:
            wrong = figures["wrong_sign"] or 0.0
            say(
                f"{title:<24} mean {figures['mean_dof']:.2f}, 95 % {figures['p95_dof']:.2f} depths of field, wrong "
                f"sign {wrong:.1%}, intervals hold {figures['coverage']:.0%} ({figures['told']} pairs)"
            )
    moves = result["closed_loop"]
    if moves is not None and moves["within"] is not None:
        say(f"{moves['moves']} moves: {moves['within']:.0%} ended within 1 depth of field")
    took = {
        "nothing": "nothing but the intervals",
        "line": "a straight line",
        "head": "a head of its own",
        "deep": "a fine-tuned network",
    }
    say(f"corrected: {took[result['rung']]}; {result['images']} images, {result['dose_ms'] / 1000:.3g} s of light")
    if result["deep"] is not None:
        say(f"deep: {result['deep']}")
    if result["path"] is not None:
        say(f"file: {result['path']}")
    for warning in result["warnings"]:
        say(f"warning: {warning}")
    if result["accepted"]:
        say("accepted: focus.run with method auto uses pairs from now on")
    else:
        say("rejected, focus.run with method auto goes on searching:")
        for reason in result["reasons"]:
            say(f"  {reason}")


calibrate.command()(hologram)

__all__ = ["calibrate"]
