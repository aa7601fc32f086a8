"""`chatlab hunt`: a game in which a student finds the defect of an unnamed server by a check of his own."""
