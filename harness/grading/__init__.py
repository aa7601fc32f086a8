"""A class: every submission of a folder judged, one after the other."""
