"""A Pillow reader of camera raw files, which LibRaw develops when their pixels are loaded."""

from __future__ import annotations

from typing import Any

from PIL import Image, ImageFile

from .formats import Kind, library_for


class RawImageFile(ImageFile.ImageFile):
    """Upright, in sRGB, 8 bits, with the camera's white balance and LibRaw's own brightness (one pixel in a hundred
    becomes white). ImageError where rawpy is not installed; SyntaxError where LibRaw does not know the file."""

    format = "RAW"
    format_description = "camera raw"

    def _open(self) -> None:
        library: Any = library_for(Kind.RAW)
        try:
            self._raw: Any = library.imread(self.fp)
        except library.LibRawError as error:
            raise SyntaxError(f"LibRaw says {error}") from error
        self._error: type[Exception] = library.LibRawError
        sizes = self._raw.sizes
        sides = (sizes.iwidth, sizes.iheight)
        self._size = sides[::-1] if sizes.flip & 4 else sides
        self._mode = "RGB"
        self.tile = []

    def load(self) -> Image.core.PixelAccess | None:
        if self._raw is not None:
            try:
                developed = Image.fromarray(self._raw.postprocess(use_camera_wb=True))
            except self._error as error:
                raise OSError(f"LibRaw says {error}") from error
            self._raw.close()
            self._raw = None
            self._size, self.im = developed.size, developed.im
        return super().load()
