"""The app's only door to cfcore, and its only caches.

networks  what is shipped and what can be computed at once
speed     timings that are shipped
jobs      what takes seconds: done by one worker process, one at a time
"""
