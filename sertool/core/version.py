"""The version of this package, for the records that files keep of what made them."""

VERSION = __version__ = "0.2.0"
