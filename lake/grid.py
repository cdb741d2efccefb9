"""From nanometres to bins to tiles: pure arithmetic.

The grid is global: bin and tile indices are counted from the origin of the file's coordinates, because
subtracting another origin first would move localizations that lie on a bin edge.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Grid:
    """Square bins, and square tiles of whole bins.

    The defaults are those of nano-org: bins of 30 nm and tiles of 3 x 3 um (doi:10.1038/s41467-025-63674-x,
    Methods).

    Attributes
    ----------
    bin_nm : float
        Side of a bin in nm.
    tile_bins : int
        Bins along the side of a tile.

    Examples
    --------
    >>> grid = Grid()
    >>> grid.tile_nm, grid.tile_area_um2
    (3000.0, 9.0)
    >>> grid.bins(np.array([-0.1, 0.0, 29.9, 30.0, 3000.0])).tolist()
    [-1, 0, 0, 1, 100]
    >>> grid.tiles(np.array([-0.1, 0.0, 2999.9, 3000.0])).tolist()
    [-1, 0, 0, 1]
    """

    bin_nm: float = 30.0
    tile_bins: int = 100

    def __post_init__(self) -> None:
        if not (self.bin_nm > 0 and np.isfinite(self.bin_nm)):
            raise ValueError(f"bin_nm is {self.bin_nm}: a bin needs a positive side in nm")
        if self.tile_bins < 1:
            raise ValueError(f"tile_bins is {self.tile_bins}: a tile needs at least one bin")

    @property
    def tile_nm(self) -> float:
        """Side of a tile in nm."""
        return self.bin_nm * self.tile_bins

    @property
    def tile_area_um2(self) -> float:
        """Area of a tile in um2."""
        return (self.tile_nm / 1000.0) ** 2

    def bins(self, coordinate_nm: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the bin index of each coordinate: ``floor(coordinate_nm / bin_nm)``."""
        return np.floor(coordinate_nm / self.bin_nm).astype(np.int64)

    def tiles(self, coordinate_nm: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the tile index of each coordinate: ``bins(coordinate_nm) // tile_bins``."""
        return self.bins(coordinate_nm) // self.tile_bins
