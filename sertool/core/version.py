"""The version of this package, for the records that files keep of what made them."""

VERSION = "0.2.0"
