"""A page and an API over runs: `saccade serve`. Nothing here is loaded by `import saccade`, nor by other commands."""
