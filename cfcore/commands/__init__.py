"""The commands of the command line, one function each. What they need is imported when they run."""
