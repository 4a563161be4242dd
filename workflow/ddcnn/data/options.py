"""How files become images of one shape: keys of ``dataset`` in the configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, field

NO_GROUPS = "none"  # every image stands for itself: the user has looked


@dataclass(frozen=True)
class ReadOptions:
    """What a reader may do with the images it finds.

    Attributes:
        task: ``classification`` or ``regression``; None: regression where a table has target
            columns, else classification.
        shape: spatial axes of the result (rows, columns(, slices)); one number: signals along
            time; None: as the files are, which must then all be alike.
        channels: 1 (gray) or 3 (RGB); None: 1 if every file is gray, else 3.
        fit: how a 2D image of another aspect ratio becomes ``shape``: ``crop`` its middle, ``pad``
            with black, or ``stretch``.
        window: values that become 0 and 255, for scans in Hounsfield units and data above 8 bit.
        intensity: the rule that says which values become 0 and 255, see
            :mod:`ddcnn.data.intensity`; None: ``window`` where there is one, else 8-bit files as
            they are, and for others the rule that the training split's values ask for.
        frame: of a series of volumes its number from 0, or ``mean``; None: series cannot be read.
        spacing: of the result's voxels, mm, before the middle is cut or padded to ``shape``; None:
            volumes are stretched to ``shape``.
        most_megapixels: an image or volume with more million pixels is refused unread.
        group: what keeps images together (those of a patient): a table's column, the name of an
            array, or a regular expression whose brackets find it in the path below the class
            folder; ``none``: nothing does; None: nobody has said.
        columns: the table's own name of the columns file, label, split, target or target_NAME.
        classes: new names of classes, by those in the data.
        split_seed: of the random split where the source has none.
        split_shares: of train, val and test.
    """

    task: str | None = None
    shape: tuple[int, ...] | None = None
    channels: int | None = None
    fit: str = "crop"
    window: tuple[float, float] | None = None
    intensity: str | None = None
    frame: int | str | None = None
    spacing: tuple[float, float, float] | None = None
    most_megapixels: float = 500.0
    group: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    classes: Mapping[str, str] = field(default_factory=dict)
    split_seed: int = 0
    split_shares: tuple[float, float, float] = (0.7, 0.15, 0.15)

    @property
    def most_pixels(self) -> int:
        return int(self.most_megapixels * 10**6)
