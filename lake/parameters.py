"""The lake itself: its address, its identity and the parameters with which it is scored."""

import os
import uuid
from dataclasses import dataclass
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lake import paths, storage
from lake.grid import Grid


class Parameters(BaseModel):
    """What the papers leave open, named. Stored with the lake and with every generation of scores.

    Defaults are those of nano-org (doi:10.1038/s41467-025-63674-x).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bin_nm: float = Field(default=30.0, gt=0, description="side of a bin in nm")
    tile_bins: int = Field(default=100, ge=1, le=1000, description="bins along the side of a tile (ROI)")
    thinning_density_per_um2: float = Field(
        default=100.0, gt=0, description="localizations per um2 to which the thinned mode thins"
    )
    thinning: Literal["exact", "monte-carlo"] = Field(
        default="exact", description="expected histogram in closed form, or averaged over random subsamples"
    )
    thinning_repeats: int = Field(default=100, ge=1, description="subsamples of the Monte Carlo thinning")
    seed: int = Field(default=0, ge=0, description="seed of the Monte Carlo thinning")
    alpha: float = Field(default=0.05, gt=0, lt=1, description="significance level at which lambda is 1")
    lambda_dtype: Literal["float32", "float16"] = Field(
        default="float32", description="precision in which lambda matrices are stored"
    )

    @property
    def grid(self) -> Grid:
        """Bins and tiles."""
        return Grid(self.bin_nm, self.tile_bins)

    @property
    def thinning_target(self) -> int:
        """Localizations to which a ROI is thinned."""
        return max(1, round(self.thinning_density_per_um2 * self.grid.tile_area_um2))


@dataclass(frozen=True)
class Lake:
    """An open lake. Cheap to make and to send to a worker: it holds no connection.

    Attributes
    ----------
    url : str
        Normalised URL.
    lake_id : str
        Identity, made once by :func:`create`.
    parameters : Parameters
        Defaults of the lake.
    """

    url: str
    lake_id: str
    parameters: Parameters


def parameters_from(values: dict[str, Any], origin: str) -> Parameters:
    """Return parameters from a mapping; ValueError with one line that names each wrong value."""
    try:
        return Parameters(**values)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc']))} is {e['input']!r}: {e['msg'].lower()}" for e in error.errors()
        )
        raise ValueError(f"{origin}: {problems}") from None


def create(url: str | os.PathLike[str], parameters: Parameters) -> Lake:
    """Make a lake, or open the one that is there when its parameters are the same.

    Raises
    ------
    ValueError
        If there is a lake with other parameters: they are fixed when it is made.
    """
    lake = Lake(storage.normalise(url), uuid.uuid4().hex, parameters)
    text = yaml.safe_dump(
        {
            "format_version": paths.FORMAT_VERSION,
            "lake_id": lake.lake_id,
            "parameters": parameters.model_dump(),
        },
        sort_keys=False,
    )
    if storage.create(lake.url, paths.LAKE, text.encode()):
        return lake
    present = open_lake(url)
    if present.parameters != parameters:
        there, asked = present.parameters.model_dump(), parameters.model_dump()
        differences = ", ".join(f"{k} {there[k]} (asked: {asked[k]})" for k in there if there[k] != asked[k])
        raise ValueError(
            f"{url}: a lake is there already, with {differences}; choose another place, "
            "or score it anew with `nanolake score --full` and the options you want"
        )
    return present


def open_lake(url: str | os.PathLike[str]) -> Lake:
    """Open a lake.

    Raises
    ------
    ValueError
        If there is no lake at the URL, its ``lake.yaml`` is damaged, or its format is newer than this version
        reads.
    """
    normalised = storage.normalise(url)
    folder = storage.local_path(normalised)
    if folder is not None and not folder.is_dir():
        raise ValueError(f"{os.fspath(url)}: no lake here; make one with `nanolake init {os.fspath(url)}`")
    try:
        text = storage.read(normalised, paths.LAKE)
    except KeyError:
        raise ValueError(
            f"{os.fspath(url)}: no lake here (no {paths.LAKE}); make one with `nanolake init {os.fspath(url)}`"
        ) from None
    try:
        content = dict(yaml.safe_load(text))
        content = {name: content[name] for name in ("format_version", "lake_id", "parameters")}
    except (yaml.YAMLError, KeyError, TypeError, ValueError):
        raise ValueError(
            f"{os.fspath(url)}: {paths.LAKE} is damaged; it never changes, so copy it back from a backup"
        ) from None
    if content["format_version"] > paths.FORMAT_VERSION:
        raise ValueError(
            f"{os.fspath(url)}: format version {content['format_version']}, but this nanolake reads up to "
            f"{paths.FORMAT_VERSION}; upgrade nanolake"
        )
    return Lake(normalised, content["lake_id"], parameters_from(content["parameters"], f"{url}/{paths.LAKE}"))
