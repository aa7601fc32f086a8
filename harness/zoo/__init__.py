"""Chat servers that are broken on purpose, with one defect each: the checkers must find every one of them."""
