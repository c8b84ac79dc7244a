"""What is known of a microscope, from where, and what follows where it is not known: pure, for ``check``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from microscoped.daemon.config import Config, Section

Source: TypeAlias = Literal["measured", "configured", "default", "computed", "unknown"]
"""The driver says so; the configuration says so; it says nothing, and a default holds; it follows from others; nobody
says."""

PIXEL_AGREEMENT = 0.05
"""Pixel sizes of driver and configuration that differ by more than this part are remarked on."""

LEAST_BELOW_NM = 20.0
"""So far below the medium's path a camera of maps should count."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One figure.

    Parameters
    ----------
    name, value, source
        What is printed; `value` with its unit.
    warning
        What follows, and what to do; empty where all is well.
    """

    name: str
    value: str
    source: Source
    warning: str = ""


def findings(config: Config, facts: Mapping[str, Any]) -> list[Finding]:
    """Judge a configuration and what its microscope says.

    Parameters
    ----------
    config
        The configuration.
    facts
        The result of ``describe``, with ``readings_um`` (of the resting stage) and ``driver_direction``.
    """
    return [*_optics(config, facts), *_stage(config, facts), *_camera(facts), *_hologram(facts), *_cells(config, facts)]


def _said(section: Section, key: str) -> Source:
    return "configured" if key in section.model_fields_set else "default"


def _given(name: str, value: float | None, unit: str, warning: str) -> Finding:
    if value is None:
        return Finding(name, "-", "unknown", warning)
    return Finding(name, f"{value:g} {unit}".strip(), "configured")


def _optics(config: Config, facts: Mapping[str, Any]) -> list[Finding]:
    optics = config.optics
    driver_px: float | None = facts["camera"].get("pixel_size_um")
    found = [
        _given(
            "numerical aperture",
            optics.na,
            "",
            "unknown, so the depth of field is too, and focus uses that of a 20x/0.75; set optics.na",
        ),
        _given(
            "wavelength",
            optics.wavelength_nm,
            "nm",
            "unknown, so the depth of field is too; set optics.wavelength_nm (brightfield: about 550)",
        ),
        Finding("immersion index", f"{optics.immersion_index:g}", _said(optics, "immersion_index")),
    ]
    if optics.pixel_size_um is not None:
        warning = ""
        if driver_px and abs(driver_px / optics.pixel_size_um - 1) > PIXEL_AGREEMENT:
            warning = f"the driver says {driver_px:g} µm; correct optics.pixel_size_um, or the driver's calibration"
        found.append(Finding("pixel size", f"{optics.pixel_size_um:g} µm", "configured", warning))
    elif driver_px:
        found.append(Finding("pixel size", f"{driver_px:g} µm", "measured"))
    else:
        remedy = "unknown, so sampling is too; set optics.pixel_size_um (camera pixel / magnification)"
        found.append(Finding("pixel size", "-", "unknown", remedy))
    dof_um = optics.dof_um
    found.append(
        Finding("depth of field", "-", "unknown", "follows from aperture and wavelength; set them")
        if dof_um is None
        else Finding("depth of field", f"{dof_um:.3g} µm", "computed")
    )
    known = optics.known(driver_px or None)
    if known is None:
        found.append(Finding("sampling", "-", "unknown", "follows from aperture, wavelength and pixel size; set them"))
    else:
        warning = ""
        if known.sampling_px < 1:
            warning = (
                "below 1 pixel per wavelength/NA the camera blurs more than the optics do: focus by image pairs cannot "
                "work; bin less, or use a stronger relay lens"
            )
        found.append(Finding("sampling", f"{known.sampling_px:.3g} px per wavelength/NA", "computed", warning))
    return found


def _stage(config: Config, facts: Mapping[str, Any]) -> list[Finding]:
    stage, said = config.stage, facts["stage"]
    readings: list[float] = facts["readings_um"]
    here = readings[-1]
    spread = max(readings) - min(readings)
    steady = ""
    if spread > stage.arrival_tolerance_um:
        steady = (
            f"readings at rest scatter by {spread:.3g} µm, more than stage.arrival_tolerance_um "
            f"{stage.arrival_tolerance_um:g}: moves will not count as arrived; raise it"
        )
    return [
        Finding("focus drive", f"{said['name']}, at {here:g} µm", "measured"),
        Finding("readings at rest", f"within {spread:.3g} µm", "measured", steady),
        _direction(config, facts),
        _approach(config, said),
        _limits(config, here),
        Finding("longest step", f"{stage.max_step_um:g} µm", _said(stage, "max_step_um")),
        _tolerance(config),
        Finding("settling", f"{stage.settle_ms:g} ms", _said(stage, "settle_ms")),
    ]


def _direction(config: Config, facts: Mapping[str, Any]) -> Finding:
    configured, driver = str(config.stage.focus_direction), str(facts["driver_direction"])
    name = "focus direction"
    if configured != "unknown":
        warning = ""
        if driver not in ("unknown", configured):
            warning = f"the driver says {driver!r}, and the configuration is obeyed; make sure which one is right"
        return Finding(name, configured, "configured", warning)
    if driver != "unknown":
        return Finding(name, driver, "measured")
    return Finding(
        name,
        "-",
        "unknown",
        "so no automatic move is longer than stage.unknown_direction_step_um, and a longer focus.run is refused; raise "
        "z a little by hand, see whether the objective nears the sample, and set stage.focus_direction",
    )


def _approach(config: Config, said: Mapping[str, Any]) -> Finding:
    side, overshoot = said["approach"], config.stage.overshoot_um
    if side is None:
        return Finding(
            "approach", "-", "unknown", "the stage arrives as it comes, so backlash shifts z; set stage.approach"
        )
    warning = ""
    if overshoot == 0:
        warning = "without stage.overshoot_um the backlash is not taken up; set it to more than the backlash"
    source: Source = "configured" if config.stage.approach is not None else "computed"
    return Finding("approach", f"{side}, overshoot {overshoot:g} µm", source, warning)


def _limits(config: Config, here: float) -> Finding:
    limits = config.stage.limits_um
    if limits is None:
        return Finding(
            "limits",
            "-",
            "unknown",
            "nothing moves without limits; set stage.limits_um to what is safe for the objective",
        )
    warning = ""
    if not limits[0] <= here <= limits[1]:
        warning = f"the stage stands at {here:g} µm, outside; focus.run is refused there: move it, or change the limits"
    return Finding("limits", f"{limits[0]:g} … {limits[1]:g} µm", "configured", warning)


def _tolerance(config: Config) -> Finding:
    tolerance = config.stage.arrival_tolerance_um
    wanted = config.focus.tolerance_um or (config.optics.dof_um or 0.0) / 4
    warning = ""
    if wanted and tolerance > wanted:
        warning = (
            f"focus is wanted to {wanted:.3g} µm, but a stage this far off counts as arrived; lower it as far as the "
            "stage can follow"
        )
    return Finding("arrival tolerance", f"{tolerance:g} µm", _said(config.stage, "arrival_tolerance_um"), warning)


def _camera(facts: Mapping[str, Any]) -> list[Finding]:
    camera = facts["camera"]
    settings: Mapping[str, Any] = camera["settings"]
    colour = "colour" if camera["channels"] == 3 else "monochrome"
    found = [
        Finding("camera", f"{camera['name']}, {camera['width_px']} x {camera['height_px']} px, {colour}", "measured"),
        Finding("bit depth", f"{camera['bit_depth']} ({camera['dtype']})", "measured"),
        Finding("exposure", "-", "unknown", "the driver does not say its exposure time")
        if settings["exposure_ms"] is None
        else Finding("exposure", f"{settings['exposure_ms']:g} ms", "measured"),
    ]
    for name in ("auto_exposure", "auto_gain", "auto_white_balance"):
        on: bool | None = settings[name]
        value = "the camera has none" if on is None else "on" if on else "off"
        warning = f"measurements change when the camera adjusts itself; set camera.{name} to false" if on else ""
        found.append(Finding(name.replace("_", " "), value, "measured", warning))
    return found


def _hologram(facts: Mapping[str, Any]) -> list[Finding]:
    """Return what holograms give; nothing where none are read."""
    told: Mapping[str, Any] | None = facts.get("hologram")
    if told is None:
        return []
    scale = Finding("hologram, distances", "µm in the medium", "computed")
    if not told["scale_known"]:
        scale = Finding(
            "hologram, distances", "no scale", "unknown", "set optics.wavelength_nm: distances are no micrometres else"
        )
    if told["stage_per_focus"] is None:
        why = f"focus.hold by holograms cannot move the stage ({told['why_not']}): run 'microscoped calibrate hologram'"
        return [scale, Finding("hologram, stage", "-", "unknown", "" if told["refocus"] == "numerical" else why)]
    source: Source = "measured" if told["calibrated"] else "configured"
    return [scale, Finding("hologram, stage", f"{told['stage_per_focus']:.3g} µm per µm of distance", source)]


def _cells(config: Config, facts: Mapping[str, Any]) -> list[Finding]:
    """Return what is measured of cells; nothing where nobody asked for them."""
    chosen = config.engines.cells
    if not chosen.enabled:
        return []
    told: Mapping[str, Any] | None = facts.get("cells")
    if told is None:
        return [Finding("cells", "-", "unknown", f"cells are not measured: {facts.get('no_cells', '')}")]
    network = told["network"] if not told["network_sha256"] else f"{told['network']} ({told['network_sha256'][:12]})"
    warning = ""
    if not told["network_sha256"]:
        warning = "without a network cells that touch are often one, and no interval is told; set engines.cells.network"
    found = [Finding("cells, read by", network, "configured" if warning else _said(chosen, "network"), warning)]
    if chosen.source == "hologram":
        return [*found, Finding("cells, frames", "off-axis holograms", "configured")]
    if chosen.source == "lensfree":
        return [*found, *_lens_free(config, facts), *_cells_pixel(config, facts)]
    zero = "the most frequent count of each frame" if chosen.zero_count is None else f"{chosen.zero_count:g}"
    warning = ""
    if chosen.zero_count is not None and chosen.zero_count * (chosen.nm_per_count or 0.0) < LEAST_BELOW_NM:
        warning = (
            f"paths below the medium's by more than {chosen.zero_count * (chosen.nm_per_count or 0.0):.3g} nm are cut "
            "off, so that the background is read too high; let the camera's software add an offset"
        )
    found += [
        Finding("cells, frames", f"{chosen.nm_per_count:g} nm per count", "configured"),
        Finding("cells, count of the medium", zero, _said(chosen, "zero_count"), warning),
    ]
    return [*found, *_cells_pixel(config, facts)]


def _cells_pixel(config: Config, facts: Mapping[str, Any]) -> list[Finding]:
    chosen = config.engines.cells
    pixel_um = chosen.pixel_size_um or config.optics.pixel_size_um or facts["camera"].get("pixel_size_um")
    if not pixel_um:
        remedy = "unknown, so no cell can be measured; set optics.pixel_size_um or engines.cells.pixel_size_um"
        return [Finding("cells, pixel", "-", "unknown", remedy)]
    source: Source = "configured" if chosen.pixel_size_um or config.optics.pixel_size_um else "measured"
    return [Finding("cells, pixel", f"{pixel_um:g} µm", source)]


def _lens_free(config: Config, facts: Mapping[str, Any]) -> list[Finding]:
    """Return how lens-free frames are read."""
    reading, told = config.engines.cells.lensfree, facts["cells"]
    warning = ""
    if facts["camera"]["channels"] != 3:
        warning = "the camera is monochrome, so no frame can be measured: a lens-free frame is red, green and blue"
    within = f", looked for within {reading.focus_range_um:g} µm in each frame" if reading.focus_range_um else ""
    between = told["accelerator"] or told["unwrapper"] or "no network"
    return [
        Finding("cells, frames", "lens-free, red, green and blue", "configured", warning),
        Finding("cells, to the sensor", f"{reading.z_um:g} µm{within}", "configured"),
        Finding("cells, reconstruction", f"{reading.method}, {between} between", _said(reading, "method")),
    ]


__all__ = ["Finding", "findings"]
