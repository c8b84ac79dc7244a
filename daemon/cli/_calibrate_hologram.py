"""``microscoped calibrate hologram``: how distances of holograms follow the stage, and the background hologram."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from microscoped.daemon.cli._calibrate_follow import calibrated
from microscoped.daemon.cli._console import FAILED
from microscoped.daemon.cli._plots import curve
from microscoped.daemon.cli._send import ADDRESS, Address, AsJson, Key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PLOT = (61, 13)
"""Columns and rows of the plot."""


def hologram(
    range_um: Annotated[
        float | None,
        typer.Option(
            help="The stage goes so far to either side of where it is, in µm.",
            min=0.01,
            max=10_000,
            show_default="four depths of field",
        ),
    ] = None,
    steps: Annotated[int, typer.Option(help="Places of the stage.", min=5, max=51)] = 11,
    visits: Annotated[int, typer.Option(help="Visits of each place.", min=2, max=5)] = 2,
    background: Annotated[
        bool | None,
        typer.Option(
            "--background/--no-background",
            help="Take a background hologram at an empty place first; or use none.",
            show_default="the one in force, if there is one",
        ),
    ] = None,
    background_file: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Take this TIFF or PNG, in the daemon's folder of calibrations, as the background hologram.",
            show_default="none",
        ),
    ] = None,
    dose_budget: Annotated[
        float | None, typer.Option(help="Most exposure in all, in ms; more is refused.", min=1, show_default="none")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask nothing: the microscope shows other places by itself.")
    ] = False,
    as_json: AsJson = False,
    address: Address = ADDRESS,
    key: Key = None,
) -> None:
    """Find out how distances of holograms follow the stage: scale, sign, repeatability; keep a background hologram.

    Put cells in, roughly in focus. The stage steps over the range and arrives always from the same side; at each place
    holograms are measured, and a line is fitted. With --background you are first asked to move to a place without
    cells, and back. Ctrl-C ends it; the stage always returns to its start.

    Exit code: 0 if the calibration is accepted, 1 if it is rejected or could not be made, 2 for a wrong option.
    """
    if background is not None and background_file is not None:
        raise typer.BadParameter("give --background-file or --background/--no-background, not both")
    asked = {
        "range_um": range_um,
        "steps": steps,
        "visits": visits,
        "background": None if background is None else "ask" if background else "none",
        "background_file": background_file,
        "dose_budget_ms": dose_budget,
    }
    params: dict[str, Any] = {"what": "hologram"}
    params |= {name: value for name, value in asked.items() if value is not None}

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
        ("objective", plan["objective"] or "not named", "optics.objective"),
        ("aperture", _or_unknown(plan["na"]), "optics.na"),
        ("wavelength", f"{_or_unknown(plan['wavelength_nm'])} nm", "optics.wavelength_nm"),
        ("immersion", _or_unknown(plan["immersion_index"]), "optics.immersion_index"),
        ("medium", _or_unknown(plan["medium_index"]), "engines.hologram.medium_index"),
        ("pixel", f"{plan['pixel_size_um']:g} µm, binned {plan['binning']} ×", "optics.pixel_size_um"),
        ("direction", plan["focus_direction"], "stage.focus_direction"),
    )
    for name, value, key in rows:
        say(f"{name:<11} {value}  ({key})")
    low, high = plan["range_um"]
    say(
        f"{plan['steps']} places from {low:.3f} to {high:.3f} µm, {plan['step_um']:.3f} µm apart, each visited "
        f"{plan['visits']} times, arriving {plan['approach']}; the stage is at {plan['start_um']:g} µm"
    )
    words = {"keep": "the one in force, else fitted", "taken": "taken now", "none": "fitted"}
    say(f"background: {words[plan['background']]}")
    say(
        f"{plan['images_most']} images of {plan['exposure_ms']:g} ms: {plan['dose_ms_most'] / 1000:.3g} s of light on "
        "the specimen"
    )


def _or_unknown(value: float | None) -> str:
    return "unknown" if value is None else f"{value:g}"


def _line(progress: Mapping[str, Any]) -> str:
    doing = f": {progress['doing']}" if progress["doing"] else ""
    at = f", stage at {progress['z_um']:.3f} µm" if progress["z_um"] is not None else ""
    return f"{progress['phase']}, {progress['done']} of {progress['visits_total']}{at}{doing}"


def _prompt(progress: Mapping[str, Any]) -> str:
    if progress["wanted"] == "empty":
        return "Move the slide to a place without cells"
    return "Move the slide back to the cells, roughly in focus,"


def _show_result(result: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Print the verdict and what it rests on."""
    places = [(place["stage_um"], place["distance_um"]) for place in result["places"]]
    if places:
        columns, rows = PLOT
        say("distance in µm over stage:")
        say(curve(places, columns, rows, ascii_only=False).plain)
        low, high = result["focus_per_stage_interval"]
        way = "rise" if result["sign"] == 1 else "fall"
        say(
            f"scale: {result['focus_per_stage']:.4f} µm of focus per µm of stage ({low:.4f} … {high:.4f}; the indices "
            f"promise {result['focus_per_stage_expected']:.4f}); distances {way} as the stage's coordinate rises"
        )
        say(
            f"repeats within {result['repeatability_um']:.3f} µm; off the line {result['linearity_um']:.3f} µm, at "
            f"most {result['worst_um']:.3f} µm; drift {result['drift_um_s']:.4f} µm/s"
            + ("" if result["play_um"] is None else f"; play {result['play_um']:.2f} µm of stage")
        )
        say(
            f"{result['cells']} cells, {result['readings']} distances, {result['outliers']} of them outliers; "
            f"{result['lost']} of {result['visits']} visits without a distance"
        )
    known = "as stage steps have shown" if result["side_known"] else "not shown to be the right one"
    say(f"sideband: {result['side']}, {known}")
    background = result["background"]
    if background is not None:
        say(f"background hologram of {background['taken']}, sha256 {background['sha256'][:16]}…")
    if result["path"] is not None:
        say(f"file: {result['path']}")
    for warning in result["warnings"]:
        say(f"warning: {warning}")
    if result["accepted"]:
        say("accepted: it holds from now on")
    else:
        say("rejected:")
        for reason in result["reasons"]:
            say(f"  {reason}")


__all__ = ["hologram"]
