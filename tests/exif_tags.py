"""EXIF for images that tests write."""

from PIL import ExifTags, Image


def tagged(**tags):
    """EXIF with tags by name; those of the lens are in an IFD of their own."""
    data = Image.Exif()
    for name, value in tags.items():
        target = data if name == "Orientation" else data.get_ifd(ExifTags.IFD.Exif)
        target[ExifTags.Base[name]] = value
    return data
