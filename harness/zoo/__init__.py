"""Chat servers that are broken on purpose, one defect each: the checkers must find every one of them."""
