"""The same localizations written in every variant of every format that is read: what the tests of lake.formats share."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field

import h5py
import numpy as np
import pyarrow as pa
import yaml

from lake.formats import Localizations, Source, read_localizations

ROWS = 57
PIXEL_NM = 130.0


def _truth():
    rng = np.random.default_rng(20240607)
    truth = {
        "x_nm": rng.uniform(1000, 60_000, ROWS),
        "y_nm": rng.uniform(1000, 60_000, ROWS),
        "z_nm": rng.normal(0, 300, ROWS),
        "frame": np.sort(rng.integers(0, 900, ROWS)),
        "photons": rng.exponential(2000, ROWS),
        "background_photons": rng.uniform(10, 90, ROWS),
        "background_sd_photons": rng.uniform(1, 9, ROWS),
        "precision_nm": rng.uniform(3, 30, ROWS),
        "precision_z_nm": rng.uniform(5, 60, ROWS),
        "sigma_x_nm": rng.uniform(100, 180, ROWS),
        "sigma_y_nm": rng.uniform(100, 180, ROWS),
        "chi2": rng.uniform(100, 3000, ROWS),
        "detections": rng.integers(1, 9, ROWS),
        "channel": rng.integers(0, 2, ROWS),
        "group": rng.integers(-1, 50, ROWS),
    }
    truth["frame"][0] = 0
    return truth


TRUTH = _truth()


@dataclass(frozen=True)
class Written:
    """A file, what a reader must find in it, and what it needs to be told."""

    data: bytes
    columns: tuple[str, ...]
    format: str
    name: str = "cell.csv"
    siblings: dict[str, bytes] = field(default_factory=dict)
    pixel_size_nm: float | None = None
    truth: dict = field(default_factory=lambda: TRUTH)

    def source(self, data=None):
        return Source(self.name, pa.py_buffer(self.data if data is None else data), self.siblings)

    def read(self, data=None) -> Localizations:
        return read_localizations(self.source(data), self.pixel_size_nm)


def _text(columns, *, delimiter=",", decimal=".", line_end="\n", quoted=True):
    """Write header -> values as text, numbers with all their digits."""
    quote = '"' if quoted else ""
    lines = [delimiter.join(quote + name + quote for name in columns)]
    lines += [
        delimiter.join(repr(float(value)).replace(".", decimal) for value in row)
        for row in zip(*columns.values(), strict=True)
    ]
    return (line_end.join(lines) + line_end).encode()


def _thunderstorm_2d(bracket="{} [{}]", first_frame=1, *, length="nm", nm=1.0, uncertainty="uncertainty"):
    truth = TRUTH

    def named(name, unit):
        return bracket.format(name, unit)

    return {
        "id": np.arange(1, ROWS + 1),
        "frame": truth["frame"] + first_frame,
        named("x", length): truth["x_nm"] / nm,
        named("y", length): truth["y_nm"] / nm,
        named("sigma", length): truth["sigma_x_nm"] / nm,
        named("intensity", "photon"): truth["photons"],
        named("offset", "photon"): truth["background_photons"],
        named("bkgstd", "photon"): truth["background_sd_photons"],
        "chi2": truth["chi2"],
        named(uncertainty, length): truth["precision_nm"] / nm,
    }


THUNDERSTORM_2D = (
    *("x_nm", "y_nm", "frame", "photons", "background_photons", "background_sd_photons"),
    *("precision_nm", "sigma_x_nm", "sigma_y_nm", "chi2"),
)
ROUND = TRUTH | {"sigma_y_nm": TRUTH["sigma_x_nm"]}  # one sigma describes both axes


def _thunderstorm(data, columns=THUNDERSTORM_2D, truth=ROUND, **given):
    return Written(data, columns, "thunderstorm-csv", truth=truth, **given)


def _thunderstorm_3d():
    columns = {
        "id": np.arange(ROWS),
        "frame": TRUTH["frame"] + 1,
        "x [nm]": TRUTH["x_nm"],
        "y [nm]": TRUTH["y_nm"],
        "z [nm]": TRUTH["z_nm"],
        "sigma1 [nm]": TRUTH["sigma_x_nm"],
        "sigma2 [nm]": TRUTH["sigma_y_nm"],
        "intensity [photon]": TRUTH["photons"],
        "uncertainty_xy [nm]": TRUTH["precision_nm"],
        "uncertainty_z [nm]": TRUTH["precision_z_nm"],
        "detections": TRUTH["detections"],
    }
    names = ("x_nm", "y_nm", "z_nm", "frame", "photons", "precision_nm", "precision_z_nm")
    return _thunderstorm(_text(columns), (*names, "sigma_x_nm", "sigma_y_nm", "detections"), TRUTH)


def _picasso_export():
    """Picasso's ThunderSTORM export: no quotes, frames from 0."""
    columns = {
        "id": np.arange(ROWS),
        "frame": TRUTH["frame"],
        "x [nm]": TRUTH["x_nm"],
        "y [nm]": TRUTH["y_nm"],
        "sigma [nm]": TRUTH["sigma_x_nm"],
        "intensity [photon]": TRUTH["photons"],
        "offset [photon]": TRUTH["background_photons"],
        "bkgstd [photon]": TRUTH["background_sd_photons"],
        "uncertainty_xy [nm]": TRUTH["precision_nm"],
        "detections": TRUTH["detections"],
    }
    names = tuple(name for name in THUNDERSTORM_2D if name != "chi2")
    return _thunderstorm(_text(columns, quoted=False), (*names, "detections"))


def _excel_damaged():
    """The whole header in one quoted cell, as Excel leaves it."""
    header, _, rows = _text(_thunderstorm_2d()).partition(b"\n")
    return b'"' + header[1:].replace(b'"', b'""').replace(b'""', b"", 1) + b'"\n' + rows


def _adu():
    columns = _thunderstorm_2d()
    for name in ("intensity", "offset", "bkgstd"):
        columns[f"{name} [ADU]"] = columns.pop(f"{name} [photon]")
    names = tuple(name for name in THUNDERSTORM_2D if "photons" not in name)
    return _thunderstorm(_text(columns), names)


def _nanometres(header, columns, *, first_frame=1, **style):
    values = TRUTH | {"frame": TRUTH["frame"] + first_frame}
    written = {name: values[column] for name, column in zip(header, columns, strict=True)}
    return Written(_text(written, **{"quoted": False} | style), columns, "nanometre-csv")


PICASSO_COLUMNS = (
    *("x_nm", "y_nm", "z_nm", "frame", "photons", "background_photons", "precision_nm"),
    *("precision_z_nm", "sigma_x_nm", "sigma_y_nm", "detections", "group"),
)


def picasso_table(*, dtype="f4", frame_dtype="u4", photons=True):
    lpx = TRUTH["precision_nm"] * 0.75 / PIXEL_NM
    lpy = TRUTH["precision_nm"] * 1.25 / PIXEL_NM
    fields = {
        "frame": TRUTH["frame"],
        "x": TRUTH["x_nm"] / PIXEL_NM,
        "y": TRUTH["y_nm"] / PIXEL_NM,
        "photons": TRUTH["photons"],
        "sx": TRUTH["sigma_x_nm"] / PIXEL_NM,
        "sy": TRUTH["sigma_y_nm"] / PIXEL_NM,
        "bg": TRUTH["background_photons"],
        "lpx": lpx,
        "lpy": lpy,
        "net_gradient": np.ones(ROWS),
        "z": TRUTH["z_nm"],
        "lpz": TRUTH["precision_z_nm"],
        "n": TRUTH["detections"],
        "group": TRUTH["group"],
    }
    if not photons:
        fields = {name: fields[name] for name in ("frame", "x", "y", "lpx", "lpy", "z", "lpz")}
    table = np.zeros(ROWS, [(name, frame_dtype if name == "frame" else dtype) for name in fields])
    for name, values in fields.items():
        table[name] = values
    return table


def hdf5_file(table, metadata=None, **storage):
    file = io.BytesIO()
    with h5py.File(file, "w", **storage.pop("file", {})) as h5:
        h5.create_dataset("locs", data=table, **storage)
        if metadata is not None:
            h5["metadata"] = metadata
    return file.getvalue()


def _picasso(data, columns=PICASSO_COLUMNS, *, documents=({"Pixelsize": PIXEL_NM},), name="cell.hdf5", **given):
    siblings = {name.removesuffix(".hdf5") + ".yaml": yaml.safe_dump_all(documents).encode()} if documents else {}
    return Written(data, columns, "picasso-hdf5", name=name, siblings=siblings, **given)


SMAP_COLUMNS = ("x_nm", "y_nm", "z_nm", "frame", "precision_nm", "precision_z_nm")

VARIANTS: dict[str, Callable[[], Written]] = {
    "thunderstorm": lambda: _thunderstorm(_text(_thunderstorm_2d())),
    "thunderstorm, newer name of the uncertainty": lambda: _thunderstorm(
        _text(_thunderstorm_2d(uncertainty="uncertainty_xy"))
    ),
    "thunderstorm 3D, merged": _thunderstorm_3d,
    "thunderstorm, no space before the unit": lambda: _thunderstorm(_text(_thunderstorm_2d("{}[{}]"))),
    "thunderstorm, two spaces": lambda: _thunderstorm(_text(_thunderstorm_2d("{}  [{}]"))),
    "thunderstorm, spaces in the bracket, capitals": lambda: _thunderstorm(
        _text(_thunderstorm_2d("{} [ {} ]")).replace(b"x [ nm ]", b"X [ NM ]")
    ),
    "thunderstorm, no quotes": lambda: _thunderstorm(_text(_thunderstorm_2d(), quoted=False)),
    "thunderstorm, BOM": lambda: _thunderstorm(b"\xef\xbb\xbf" + _text(_thunderstorm_2d())),
    "thunderstorm, CRLF": lambda: _thunderstorm(_text(_thunderstorm_2d(), line_end="\r\n")),
    "thunderstorm, CR": lambda: _thunderstorm(_text(_thunderstorm_2d(), line_end="\r")),
    "thunderstorm, empty lines": lambda: _thunderstorm(b"\n\n" + _text(_thunderstorm_2d(), line_end="\n\n")),
    "thunderstorm, no last line end": lambda: _thunderstorm(_text(_thunderstorm_2d())[:-1]),
    "thunderstorm, um": lambda: _thunderstorm(_text(_thunderstorm_2d(length="um", nm=1000.0))),
    "thunderstorm, micro sign": lambda: _thunderstorm(_text(_thunderstorm_2d(length="\u00b5m", nm=1000.0))),
    "thunderstorm, Greek mu": lambda: _thunderstorm(_text(_thunderstorm_2d(length="\u03bcm", nm=1000.0))),
    "thunderstorm, micro sign of Windows": lambda: _thunderstorm(
        _text(_thunderstorm_2d(length="\u00b5m", nm=1000.0)).decode().encode("latin-1")
    ),
    "thunderstorm, px": lambda: _thunderstorm(
        _text(_thunderstorm_2d(length="px", nm=PIXEL_NM)), pixel_size_nm=PIXEL_NM
    ),
    "thunderstorm, tabs": lambda: _thunderstorm(_text(_thunderstorm_2d(), delimiter="\t")),
    "thunderstorm, European Excel": lambda: _thunderstorm(
        _text(_thunderstorm_2d(), delimiter=";", decimal=",", line_end="\r\n", quoted=False)
    ),
    "thunderstorm, semicolons with points": lambda: _thunderstorm(_text(_thunderstorm_2d(), delimiter=";")),
    "thunderstorm, Excel-damaged": lambda: _thunderstorm(_excel_damaged()),
    "thunderstorm, ADU": _adu,
    "thunderstorm, Picasso's export": _picasso_export,
    "nano-org": lambda: _thunderstorm(
        _text({name: _thunderstorm_2d()[name] for name in ("frame", "x [nm]", "y [nm]")}, quoted=False),
        ("x_nm", "y_nm", "frame"),
    ),
    "nanometres, x,y": lambda: _nanometres(("x", "y"), ("x_nm", "y_nm")),
    "nanometres, X,Y,Z": lambda: _nanometres(("X", "Y", "Z"), ("x_nm", "y_nm", "z_nm")),
    "nanometres, SMAP": lambda: _nanometres(
        ("xnm", "ynm", "znm", "frame", "locprecnm", "phot", "bg"),
        ("x_nm", "y_nm", "z_nm", "frame", "precision_nm", "photons", "background_photons"),
    ),
    "nanometres, frames from 0": lambda: _nanometres(
        ("frame", "x", "y", "precision"), ("frame", "x_nm", "y_nm", "precision_nm"), first_frame=0
    ),
    "nanometres, the lake's own": lambda: _nanometres(tuple(TRUTH), tuple(TRUTH), first_frame=0),
    "nanometres, European Excel": lambda: _nanometres(
        ("x_nm", "y_nm", "photons"), ("x_nm", "y_nm", "photons"), delimiter=";", decimal=","
    ),
    "nanometres, tabs, quotes, CRLF, BOM": lambda: _nanometres(
        ("\ufeffx_nm", "y_nm"), ("x_nm", "y_nm"), delimiter="\t", line_end="\r\n"
    ),
    "picasso": lambda: _picasso(hdf5_file(picasso_table())),
    "picasso, compressed": lambda: _picasso(hdf5_file(picasso_table(), compression="gzip", chunks=(16,))),
    "picasso, newest HDF5": lambda: _picasso(hdf5_file(picasso_table(), file={"libver": "latest"})),
    "picasso, user block": lambda: _picasso(hdf5_file(picasso_table(), file={"userblock_size": 1024})),
    "picasso, big-endian, float frames": lambda: _picasso(hdf5_file(picasso_table(dtype=">f4", frame_dtype=">f4"))),
    "picasso, metadata inside": lambda: _picasso(
        hdf5_file(picasso_table(), json.dumps([{"Frames": 900}, {"Pixelsize": PIXEL_NM}, {"Box Size": 7}])),
        documents=(),
    ),
    "picasso, last document counts": lambda: _picasso(
        hdf5_file(picasso_table()),
        documents=({"Camera.Pixelsize": 160, "Pixelsize": 100}, {"Pixelsize": PIXEL_NM}, {"Box Size": 7}),
    ),
    "picasso, SMAP": lambda: _picasso(
        hdf5_file(picasso_table(dtype="f8", frame_dtype="f8", photons=False)),
        SMAP_COLUMNS,
        documents=({"Byte Order": "<", "Frames": 900},),
        name="cell_sml.mat.hdf5",
        pixel_size_nm=PIXEL_NM,
    ),
}


def source_of(data, name="cell.csv", siblings=None):
    return Source(name, pa.py_buffer(data), siblings or {})
