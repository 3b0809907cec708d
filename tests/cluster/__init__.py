"""Tests on a real cluster; a package, so that fixtures of this scope end with its last test."""
