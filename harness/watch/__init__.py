"""`chatlab watch`: judges an exercise each time its file is saved, and keeps the verdict on one screen.

saved.py       what lies in the folders that are watched, and whether it has changed
rounds.py      one save, judged in three ways, from the quickest to the surest
own_line.py    the line of the student's file that a finding is about
screen.py      what is shown
keys.py        keys, as they are pressed
session.py     all of them together
"""
