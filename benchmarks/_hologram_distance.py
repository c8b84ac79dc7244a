"""From a frame to the distance of its field: all methods by turns, and the cells' agreement with the search."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from _hologram_agreement import agreement
from _hologram_ours import (
    CLASSICAL,
    LEARNT,
    cells_median,
    field_search,
    measured_cells,
    paired,
    truth_of,
    z_um,
)
from _hologram_peers import Absent, Nrefocus, PyHoloscopeDistance
from _hologram_timing import Job, errors_um, interleaved, ratio, spread_ms

from microscoped.models.hologram import Method as Planes
from microscoped.models.hologram.measurement import DistanceMethod

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from _hologram_agreement import Pair
    from _hologram_frames import Shown
    from numpy.typing import NDArray

    from microscoped.models.hologram.network import DistanceNetwork

    Measure = Callable[[NDArray[np.uint8]], float | None]
    """From a frame to its distance in µm."""

REFINED, ALONE = "network, refined", "network"
PLANES, FINE = "90 planes", "coarse to fine"
TUNED, DEFAULT = "tuned", "default"
"""Kinds of peers, by what targets ask of them."""


@dataclass(frozen=True)
class Distancer:
    """One way from a frame to its distance.

    Parameters
    ----------
    name
        What it is called.
    kind
        ``ours``, `TUNED` or `DEFAULT`; another word where no target asks for it.
    prepare
        Made once for each instrument, from its background hologram.
    every
        It has its turn in each so-manieth round.
    """

    name: str
    kind: str
    prepare: Callable[[NDArray[np.uint8]], Measure]
    every: int = 1


def distancers(network: DistanceNetwork | None, peers_every: int, slow_every: int) -> list[Distancer]:
    """Return all methods: first the project's, those of the network only where there is one.

    Parameters
    ----------
    network
        Of red cells.
    peers_every, slow_every
        In which rounds tuned peers, and those that take seconds, have their turn.
    """
    ours = [
        Distancer(PLANES, "ours", field_search(Planes.PLANES)),
        Distancer(FINE, "ours", field_search(Planes.COARSE_TO_FINE)),
        Distancer("cells, 90 planes", "ours", cells_median(DistanceMethod.PLANES, None)),
        Distancer("cells, coarse to fine", "ours", cells_median(DistanceMethod.SEARCH, None)),
    ]
    if network is not None:
        ours += [
            Distancer(ALONE, "ours", cells_median(DistanceMethod.NETWORK, network)),
            Distancer(REFINED, "ours", cells_median(DistanceMethod.NETWORK_REFINED, network)),
        ]
    return [
        *ours,
        Distancer("qpretrieve + nrefocus tuned, NumPy", TUNED, partial(Nrefocus, tuned=True, fftw=False), peers_every),
        Distancer("qpretrieve + nrefocus tuned, pyFFTW", TUNED, partial(Nrefocus, tuned=True, fftw=True), peers_every),
        Distancer("PyHoloscope tuned", "PyHoloscope", partial(PyHoloscopeDistance, tuned=True), peers_every),
        Distancer("PyHoloscope", "PyHoloscope", partial(PyHoloscopeDistance, tuned=False), peers_every),
        Distancer("qpretrieve + nrefocus", DEFAULT, partial(Nrefocus, tuned=False, fftw=True), slow_every),
    ]


def distance_rows(
    shown: Sequence[Shown],
    methods: Sequence[Distancer],
    rounds: int,
    said: Callable[[int], None] = lambda _round: None,
) -> dict[str, Any]:
    """Let all methods find the distance of frames by turns, reconstruction included.

    Parameters
    ----------
    shown
        The frames; round k shows frame k modulo their number.
    methods
        What is compared; each is run once before, and prepared for each instrument, neither of which is timed.
    rounds
        How many.

    Returns
    -------
    ``rows``, one for each method, and ``absent``, why others take no part.
    """
    backgrounds = {one.instrument.number: one.instrument.background for one in shown}
    ready: dict[str, dict[int, Measure]] = {}
    absent: dict[str, str] = {}
    for method in methods:
        try:
            ready[method.name] = {number: method.prepare(background) for number, background in backgrounds.items()}
        except Absent as reason:
            absent[method.name] = str(reason)
            continue
        ready[method.name][shown[0].instrument.number](shown[0].frame)
    present = [method for method in methods if method.name in ready]

    def measure(name: str, number: int) -> float | None:
        one = shown[number % len(shown)]
        return ready[name][one.instrument.number](one.frame)

    turns = interleaved([Job(m.name, partial(measure, m.name), m.every) for m in present], rounds, said=said)
    ours = [method.name for method in present if method.kind == "ours"]
    rows = []
    for method in present:
        found = turns[method.name]
        rows.append(
            {
                "name": method.name,
                "kind": method.kind,
                "ms": spread_ms(found),
                "error_um": errors_um(
                    [turn.value for turn in found], [shown[turn.round % len(shown)].z_um for turn in found]
                ),
                "over": {name: ratio(found, turns[name]) for name in ours if name != method.name},
            }
        )
    return {"rows": rows, "absent": absent, "frames": len(shown), "instruments": len(backgrounds)}


def agreement_rows(shown: Sequence[Shown], network: DistanceNetwork) -> dict[str, Any]:
    """Compare the network's distances with the search's on the same crops, and all with the truth.

    Returns
    -------
    ``against_search``: for each way of the network, the figures of `_hologram_agreement.agreement` of the planes of
    least contrast, and ``searched``, the cells in which the planes contradicted the network. ``against_truth``: errors
    of the middles of all cells that are bodies, by method; the search has the plane of least contrast only.
    """
    pairs: dict[DistanceMethod, list[tuple[Pair, bool]]] = {method: [] for method in LEARNT}
    found: dict[DistanceMethod, list[float | None]] = defaultdict(list)
    true: dict[DistanceMethod, list[float]] = defaultdict(list)
    strangers = 0
    for one, field, cells in measured_cells(shown, (CLASSICAL, *LEARNT), network):
        for method in LEARNT:
            pairs[method] += paired(one, cells[CLASSICAL], cells[method])
        for method, measured in cells.items():
            for cell in measured:
                body = truth_of(cell, field, one.truths)
                if body is None:
                    strangers += method is CLASSICAL
                    continue
                found[method].append(z_um(cell))
                true[method].append(body.z_um)
    return {
        "frames": len(shown),
        "against_search": [
            {
                "name": {LEARNT[0]: REFINED, LEARNT[1]: ALONE}[method],
                **agreement([pair for pair, _ in told]),
                "searched": sum(searched for _, searched in told),
            }
            for method, told in pairs.items()
        ],
        "against_truth": [{"name": method.value, **errors_um(found[method], true[method])} for method in found],
        "no_body_near": strangers,
    }


__all__ = [
    "ALONE",
    "DEFAULT",
    "FINE",
    "PLANES",
    "REFINED",
    "TUNED",
    "Distancer",
    "agreement_rows",
    "distance_rows",
    "distancers",
]
