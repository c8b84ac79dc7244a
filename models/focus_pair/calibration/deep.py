"""The last rung: the network itself is fine-tuned on the pairs of this calibration.

The training runs in a process of its own; each piece of work here waits a fraction of a second for it, so that other
engines get their turn.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from microscoped.models.focus_pair.calibration.errors import FineTuningError
from microscoped.models.focus_pair.calibration.figures import Field, PairReading, told_of
from microscoped.models.focus_pair.calibration.fit import Fit, best_of, judged, summary
from microscoped.models.focus_pair.calibration.kept import KeptPairs
from microscoped.models.focus_pair.calibration.process import (
    BASE,
    COMMAND,
    LEFT_OUT,
    PIECE_S,
    TUNED,
    TuneRecipe,
    TuningProcess,
)
from microscoped.models.focus_pair.correction import Correction
from microscoped.models.runtimes import ModelError, load_artefact, write_artefact

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from numpy.typing import NDArray

    from microscoped.models.focus_pair.calibration.bars import Bars
    from microscoped.models.focus_pair.estimate import EstimateSettings
    from microscoped.models.runtimes import Artefact, CompiledModel

LEAST_PAIRS = 20
"""Fewer pairs teach nothing."""


@dataclass(frozen=True, slots=True)
class DeepTools:
    """What fine-tuning needs beside pairs.

    Parameters
    ----------
    artefact
        The network that it begins with.
    reopen
        Makes the fine-tuned one ready to run; called from a thread of its own.
    recipe, command
        How it is trained, and by which program.
    """

    artefact: Artefact
    reopen: Callable[[Artefact], CompiledModel]
    recipe: TuneRecipe = field(default_factory=TuneRecipe)
    command: Sequence[str] = COMMAND


@dataclass(frozen=True, slots=True, eq=False)
class Tuned:
    """A fine-tuned network.

    Parameters
    ----------
    artefact, model
        Trained on all fields, and ready to run.
    """

    artefact: Artefact
    model: CompiledModel


class DeepRun:
    """Fine-tuning in one calibration. Used by one thread; `close` takes away what it keeps.

    `outcome` says in words what became of it; `readings` are those of the fine-tuned network by the field's number, of
    fitted fields by networks that had not seen them.

    Parameters
    ----------
    tools
        What it needs.
    fields
        How many fields will be fitted to.
    sign
        What the stage is said to do: pairs are kept as they are read with it.
    """

    def __init__(self, tools: DeepTools, fields: int, sign: int) -> None:
        self.outcome = "not tried: the fit was never reached"
        self.tuned: Tuned | None = None
        self.sign = sign
        self.readings: dict[int, tuple[PairReading, ...]] = {}
        self._tools = tools
        self._kept: KeptPairs | None = None
        self._field = 0
        self._read: list[PairReading] = []
        try:
            self._kept = KeptPairs(fields, sign)
        except OSError as error:
            self._give_up(error)

    def begin_field(self, number: int) -> None:
        """Begin with a field: before the fit its pairs are kept, after it they are read by the fine-tuned network."""
        self._field, self._read = number, []
        if self._kept is not None:
            self._kept.begin(number)

    def see(self, arrays: Mapping[str, NDArray[Any]], reading: PairReading) -> None:
        """Take a pair of this field, prepared and read with this sign."""
        if self.tuned is not None:
            said = self.tuned.model.run(arrays)
            self._read.append(_as_read(reading, said["defocus_dof"], said["log_error"]))
        elif self._kept is not None:
            try:
                self._kept.add(arrays, reading)
            except OSError as error:
                self._give_up(error)

    def end_field(self, focus_um: float | None, dof_um: float) -> None:
        """End the field; without a focus it is forgotten."""
        if self.tuned is not None and focus_um is not None:
            self.readings[self._field] = tuple(self._read)
        elif self._kept is not None:
            try:
                self._kept.end(focus_um, dof_um)
            except OSError as error:
                self._give_up(error)

    def hand_over(self) -> Tuned | None:
        """Return the fine-tuned network, which is the caller's to close from now on."""
        tuned, self.tuned = self.tuned, None
        return tuned

    def climb(
        self, ladder: Generator[str, None, Fit], settings: EstimateSettings, bars: Bars
    ) -> Generator[str, None, Fit]:
        """Climb the other rungs, then this one if none of them passed; `outcome` says what became of it.

        Yields, as they do, what is being done, at least every `PIECE_S`.
        """
        try:
            found = yield from ladder
            if self._kept is None:
                return found
            if found.passed:
                self.outcome = f"not needed: {found.rung} passed"
                return found
            if found.sign != self.sign:
                self.outcome = (
                    "not tried: pairs are read better the other way round than stage.focus_direction says; correct it "
                    "and calibrate again"
                )
                return found
            return (yield from self._tune(self._kept, found, settings, bars))
        except FineTuningError as error:
            self.outcome = f"failed: {error}"
            return found
        finally:
            self._drop()

    def close(self) -> None:
        """Forget everything; a network that was not handed over is closed."""
        self._drop()
        tuned = self.hand_over()
        if tuned is not None:
            tuned.model.close()

    def _tune(self, kept: KeptPairs, found: Fit, settings: EstimateSettings, bars: Bars) -> Generator[str, None, Fit]:
        artefact, fields, steps = yield from tune(kept, self._tools)
        said = [told_of([one], self.sign, Correction(), settings) for one in fields]
        alone = judged("deep", said, self.sign, Correction(), settings, bars)
        # What is known of long pairs stays: they are read by the network as shipped.
        fit = replace(
            found,
            rung="deep",
            correction=Correction(),
            interval_factor=alone.interval_factor,
            figures=alone.figures,
            passed=alone.passed,
        )
        yield summary(fit)
        if best_of([found, fit]) is not fit:
            self.outcome = f"tried, and not clearly better than {found.rung}: {summary(fit)}"
            return found
        opening = ThreadPoolExecutor(1, "fine-tuned")
        try:
            future = opening.submit(self._tools.reopen, artefact)
            while True:
                try:
                    model = future.result(PIECE_S)
                    break
                except NotYet:
                    yield "opening the fine-tuned network"
        except ModelError as error:
            raise FineTuningError(f"the fine-tuned network cannot be used: {error}") from error
        finally:
            opening.shutdown(wait=False)
        self.tuned = Tuned(artefact, model)
        self.readings = {one.number: one.readings[self.sign] for one in fields}
        self.outcome = f"taken after {steps} steps on {sum(len(one.readings[self.sign]) for one in fields)} pairs"
        return fit

    def _give_up(self, error: OSError) -> None:
        self.outcome = f"not tried: the pairs cannot be kept on disk ({error.strerror or error})"
        self._drop()

    def _drop(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()


def tune(kept: KeptPairs, tools: DeepTools) -> Generator[str, None, tuple[Artefact, tuple[Field, ...], int]]:
    """Fine-tune, yielding at least every `PIECE_S` what is being done.

    Returns
    -------
    artefact, fields, steps
        The network trained on all fields, in memory; the fields as networks read them that had not seen them; and how
        many steps it was trained.

    Raises
    ------
    FineTuningError
        Too few pairs, no place to write, or the training failed; the message says why.
    """
    pairs = sum(len(one.readings[kept.sign]) for one in kept.fields)
    if len(kept.fields) < 2 or pairs < LEAST_PAIRS:
        raise FineTuningError(
            f"{pairs} pairs of {len(kept.fields)} fields are too few: two fields and {LEAST_PAIRS} pairs are needed"
        )
    doing = "fine-tuning: starting"
    yield doing
    try:
        kept.write_index()
        write_artefact(kept.folder / BASE, tools.artefact.onnx, tools.artefact.sidecar)
        process = TuningProcess(kept.folder, tools.recipe, tools.command)
    except OSError as error:
        raise FineTuningError(f"the training cannot be started: {error}") from error
    try:
        while True:
            report = process.hear()
            if report is not None and "steps" in report:
                break
            doing = doing if report is None else str(report["doing"])
            yield doing
    finally:
        process.close()
    try:
        return load_artefact(kept.folder / TUNED), _left_out(kept), int(report["steps"])
    except (ModelError, OSError, KeyError, ValueError) as error:
        raise FineTuningError(f"what the training wrote cannot be read: {error}") from error


def _left_out(kept: KeptPairs) -> tuple[Field, ...]:
    """Return the fields as the networks read them that had not seen them."""
    sign = kept.sign
    with np.load(kept.folder / LEFT_OUT, allow_pickle=False) as said:
        read = [(said[f"{one.number}.defocus_dof"], said[f"{one.number}.log_error"]) for one in kept.fields]
    return tuple(
        replace(one, readings={sign: tuple(map(_as_read, one.readings[sign], defocus, log_error))})
        for one, (defocus, log_error) in zip(kept.fields, read, strict=True)
    )


def _as_read(reading: PairReading, defocus_dof: NDArray[np.float32], log_error: NDArray[np.float32]) -> PairReading:
    """Return a pair's reading by another network. Of a negative pair a network tells the first frame's defocus."""
    return replace(
        reading,
        defocus_dof=np.asarray(defocus_dof + np.float32(min(reading.delta_dof, 0.0)), np.float32),
        expected_error_dof=np.asarray(np.exp(log_error), np.float32),
        features=np.empty((defocus_dof.size, 0), np.float32),
    )


__all__ = ["DeepRun", "DeepTools", "Tuned", "tune"]
