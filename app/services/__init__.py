"""The app's only door to cfcore, and its only caches.

networks   what is shipped and what can be computed at once
snippets   a configuration as a command line and as Python spell it
jobs       what takes seconds: done by one worker process, one at a time
NAME       what the page of that name shows
NAME_tasks what it asks of the worker: `tasks` are those of several pages, `kept` is what they share
NAME_code  how its numbers are found again, where that is long
"""
